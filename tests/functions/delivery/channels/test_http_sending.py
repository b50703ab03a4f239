from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from functions.delivery.channels import http_sending
from functions.delivery.channels.http_sending import (
    HttpReply,
    HttpSender,
    masked,
    refused_or_failed,
    retry_after,
    secret_of,
)
from functions.delivery.dispatch import ChannelUnusable, SendOutcome, SendResult
from scripts.ports import free_port
from storage.config.channel_settings import ChannelSettings, PagerdutySettings
from tests.functions.delivery.messages import NOW
from tests.functions.delivery.receiver import Receiver, Reply, receiver


@pytest.fixture(scope="module")
def double() -> Iterator[tuple[Receiver, str]]:
    with receiver() as served:
        yield served


def got(url: str, *secrets: str) -> HttpReply | SendResult:
    sender = HttpSender(ChannelSettings(), secrets)
    try:
        return sender.send(sender.request("POST", url, b"{}", {}))
    finally:
        sender.close()


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (400, SendOutcome.REFUSED), (401, SendOutcome.REFUSED), (404, SendOutcome.REFUSED),
        (301, SendOutcome.REFUSED), (408, SendOutcome.FAILED), (429, SendOutcome.FAILED),
        (500, SendOutcome.FAILED), (503, SendOutcome.FAILED),
    ],
)  # fmt: skip
def test_a_status_means_never_again_or_later(status: int, verdict: SendOutcome) -> None:
    answer = refused_or_failed(HttpReply(status, {"location": "https://x.example"}, b"why"))
    assert (answer.outcome, answer.status) == (verdict, status)
    assert answer.may_have_arrived == (status >= 500)


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        ("", 0), ("30", 30), (" 7 ", 7), ("999999999999", 3600), ("-5", 0), ("soon", 0),
        ("Wed, 06 May 2026 03:01:00 GMT", 60), ("Wed, 06 May 2026 02:00:00 GMT", 0),
        ("Wed, 06 May 2026 03:01:00", 0),
    ],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(header: str, wait_s: int) -> None:
    assert retry_after(header, NOW) == timedelta(seconds=wait_s)


def test_a_redirect_is_not_followed_and_named(double: tuple[Receiver, str]) -> None:
    server, url = double
    server.script = [Reply(302, headers={"Location": f"{url}/elsewhere"})]
    before = len(server.requests)
    reply = got(url)
    assert isinstance(reply, HttpReply)
    assert f"to {url}/elsewhere: write the final URL" in str(refused_or_failed(reply).detail)
    assert len(server.requests) == before + 1


def test_of_a_long_answer_the_first_part_alone_is_read(double: tuple[Receiver, str]) -> None:
    server, url = double
    server.script = [Reply(body=b"x" * 500_000)]
    reply = got(url)
    assert isinstance(reply, HttpReply)
    assert len(reply.body) == http_sending.MAX_BYTES
    assert len(reply.text) <= http_sending.SHOWN_CHARS


def test_a_receiver_that_answers_too_late_may_have_taken_it(
    double: tuple[Receiver, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_sending, "TIMEOUT_S", 0.1)
    server, url = double
    server.script = [Reply(hang_s=1)]
    answer = got(f"{url}/token")
    assert isinstance(answer, SendResult)
    assert (answer.outcome, answer.may_have_arrived) == (SendOutcome.FAILED, True)


def test_a_receiver_that_is_not_there_has_taken_nothing() -> None:
    answer = got(f"http://127.0.0.1:{free_port()}/secret-path", "secret-path")
    assert isinstance(answer, SendResult)
    assert (answer.outcome, answer.may_have_arrived, answer.pause) == (
        SendOutcome.FAILED,
        False,
        True,
    )
    assert "does not answer" in str(answer.detail)
    assert "secret-path" not in str(answer.detail)


def test_a_preview_is_the_request_with_its_secrets_masked() -> None:
    sender = HttpSender(ChannelSettings(), ["s3cret"])
    headers = {"Authorization": "Bearer s3cret"}
    request = sender.request("POST", "https://h.example/s3cret/x", b'{"key":"s3cret"}', headers)
    sender.close()
    lines = sender.preview(request).split("\r\n")
    assert lines[0] == "POST /***/x HTTP/1.1"
    assert "Authorization: Bearer ***" in lines
    assert lines[-2:] == ["", '{"key":"***"}']


def test_longer_secrets_are_masked_first() -> None:
    assert masked("abcdef abc", ["abc", "abcdef"]) == "*** ***"


def test_a_secret_that_is_missing_is_named_by_channel_and_key(tmp_path: Path) -> None:
    settings = PagerdutySettings(routing_key_file=str(tmp_path / "none"))
    with pytest.raises(ChannelUnusable, match=r"channels\.night\.routing_key_file is '.*none'"):
        secret_of(settings, "routing_key", "night")
    with pytest.raises(ChannelUnusable, match=r"routing_key_env names the variable 'NOT_SET'"):
        secret_of(PagerdutySettings(routing_key_env="NOT_SET"), "routing_key", "night")


def test_a_file_of_certificates_that_is_missing_is_named() -> None:
    with pytest.raises(ChannelUnusable, match="ca_file or proxy cannot be used"):
        HttpSender(ChannelSettings(ca_file="/nowhere/ca.pem"))
