import httpx
import pytest

from scripts.tools.lying_receiver import lying_receiver


def test_it_fails_is_silent_and_keeps_each_message_once_by_its_key() -> None:
    with lying_receiver() as receiver, httpx.Client(trust_env=False) as client:

        def post(key: str) -> int:
            body = {"delivery": "e/critical/hook", "action": "open"}
            return client.post(
                receiver.url, json=body, headers={"Idempotency-Key": key}
            ).status_code

        assert [post("a"), post("b")] == [200, 500]
        with pytest.raises(httpx.TransportError):
            post("a")
        assert receiver.taken == {("e/critical/hook", "open"): {"a"}}
