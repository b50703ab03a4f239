import hashlib
import hmac
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from functions.delivery.channels.webhook import WebhookChannel, idempotency_key, signature
from functions.delivery.dispatch import SendOutcome
from storage.config.channel_settings import WebhookSettings
from tests.functions.delivery.messages import NOW, dispatch
from tests.functions.delivery.receiver import Receiver, Reply, receiver

SECRET = "whsec_0123456789"  # noqa: S105 - of a test


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Receiver, WebhookChannel]]:
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    with receiver() as (server, url):
        settings = WebhookSettings(url=f"{url}/alerts", secret_env="HOOK_SECRET")  # noqa: S106
        channel = WebhookChannel("hook", settings)
        yield server, channel
        channel.close()


def test_the_receiver_can_check_who_sent_it_and_when(hook: Any) -> None:
    server, channel = hook
    assert channel.send(dispatch(), NOW).outcome is SendOutcome.SENT
    request = server.requests[0]
    given = dict(part.split("=") for part in request.headers["hoursight-signature"].split(","))
    signed = f"{given['t']}.".encode() + request.body
    assert given["v1"] == hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    assert int(given["t"]) == int(NOW.timestamp())


def test_the_body_has_the_message_in_words_and_in_fields(hook: Any) -> None:
    server, channel = hook
    channel.send(dispatch(), NOW)
    body = server.requests[0].json
    assert (body["action"], body["delivery"]) == ("open", "e1/critical/oncall")
    assert body["episode"]["value"] == 91.25
    assert body["title"].startswith("Critical: disk used on db-7")


def test_attempts_of_one_message_share_a_key_that_no_other_message_has(hook: Any) -> None:
    server, channel = hook
    for at in (NOW, NOW + timedelta(minutes=5)):
        channel.send(dispatch(), at)
    channel.send(dispatch("resolve", phase="over"), NOW)
    keys = [request.headers["idempotency-key"] for request in server.requests]
    assert keys[0] == keys[1] != keys[2]


def test_a_refusal_is_said_in_the_words_of_the_receiver(hook: Any) -> None:
    server, channel = hook
    server.script = [Reply(422, f"bad signature by {SECRET}".encode())]
    answer = channel.send(dispatch(), NOW)
    assert (answer.outcome, answer.detail) == (
        SendOutcome.REFUSED,
        "refused (422): bad signature by ***",
    )


def test_a_preview_is_what_is_sent(hook: Any) -> None:
    server, channel = hook
    channel.send(dispatch(), NOW)
    head, _, body = channel.preview(dispatch(), NOW).partition("\r\n\r\n")
    assert body.encode() == server.requests[0].body
    assert f"Hoursight-Signature: {signature(SECRET, body.encode(), NOW)}" in head.split("\r\n")


def test_a_key_is_short_enough_for_a_header() -> None:
    assert len(idempotency_key(dispatch())) == 32
