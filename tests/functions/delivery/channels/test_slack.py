import json
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
from slack_sdk.models.blocks import Block

from functions.delivery.channels.slack import blocks_of, slack_channel
from functions.delivery.dispatch import REPEATED, SendOutcome
from functions.delivery.message import Companion
from storage.config.channel_settings import SlackSettings
from tests.functions.delivery.messages import NOW, dispatch, message
from tests.functions.delivery.receiver import Received, Receiver, Reply, receiver

TOKEN, CHANNEL = "xoxb-12345-secret", "C0123456789"


class WebApi:
    """The methods of Slack's Web API that are called here; a message is known by its ts."""

    def __init__(self) -> None:
        self.messages: dict[str, dict[str, Any]] = {}
        self.error = ""

    def handle(self, request: Received) -> Reply:
        method = request.path.rpartition("/")[2].partition("?")[0]
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return self._answer(ok=False, error="invalid_auth")
        if self.error:
            return self._answer(ok=False, error=self.error)
        if method == "conversations.history":
            return self._answer(ok=True, messages=[*self.messages.values()])
        body = request.json
        if method == "chat.update" and body["ts"] not in self.messages:
            return self._answer(ok=False, error="message_not_found")
        ts = body.get("ts") or f"{1000 + len(self.messages)}.0001"
        self.messages[ts] = body | {"ts": ts}
        return self._answer(ok=True, channel=CHANNEL, ts=ts)

    @staticmethod
    def _answer(**body: Any) -> Reply:
        return Reply(200, json.dumps(body).encode())


@pytest.fixture
def slack(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[WebApi, Receiver, Any]]:
    monkeypatch.setenv("SLACK_TOKEN", TOKEN)
    api = WebApi()
    with receiver(api.handle) as (server, url):
        settings = SlackSettings(channel=CHANNEL, token_env="SLACK_TOKEN", url=f"{url}/api")  # noqa: S106 - the name of a variable
        channel = slack_channel("ops", settings)
        yield api, server, channel
        channel.close()


def test_a_bot_posts_once_and_edits_that_message_from_then_on(slack: Any) -> None:
    api, _, channel = slack
    receipt = channel.send(dispatch(), NOW).receipt
    assert receipt == f"{CHANNEL} 1000.0001"
    later = NOW + timedelta(minutes=40)
    assert channel.send(dispatch("update", receipt=receipt), later).receipt == receipt
    closed = dispatch("resolve", receipt=receipt, phase="over")
    assert channel.send(closed, later).outcome is SendOutcome.SENT
    assert [m["text"] for m in api.messages.values()] == ["Over: disk used on db-7"]


def test_the_clock_in_the_message_runs(slack: Any) -> None:
    api, _, channel = slack
    receipt = channel.send(dispatch(), NOW).receipt
    texts = [api.messages["1000.0001"]["text"]]
    channel.send(dispatch("update", receipt=receipt), NOW + timedelta(minutes=40))
    texts.append(api.messages["1000.0001"]["text"])
    assert [text.rpartition(" in ")[2] for text in texts] == ["43 min", "3 min"]


def test_a_message_that_a_higher_level_replaced_says_so(slack: Any) -> None:
    api, _, channel = slack
    receipt = channel.send(dispatch(), NOW).receipt
    channel.send(dispatch("resolve", receipt=receipt, severity="imminent"), NOW)
    (posted,) = api.messages.values()
    assert posted["text"].startswith("Replaced by a newer message: Imminent failure: disk used")
    assert [block["type"] for block in posted["blocks"]] == ["section"]


def test_a_message_that_arrived_without_an_answer_is_found_and_not_posted_again(slack: Any) -> None:
    api, server, channel = slack
    channel.send(dispatch(), NOW)
    answer = channel.send(dispatch(may_have_arrived=True), NOW)
    assert (answer.outcome, answer.receipt) == (SendOutcome.SENT, f"{CHANNEL} 1000.0001")
    assert len(api.messages) == 1
    assert server.requests[-1].path.startswith("/api/conversations.history?channel=C0123456789")


def test_a_message_that_never_arrived_is_posted_after_the_search(slack: Any) -> None:
    api, _, channel = slack
    assert channel.send(dispatch(may_have_arrived=True), NOW).outcome is SendOutcome.SENT
    assert len(api.messages) == 1


@pytest.mark.parametrize(
    ("error", "verdict", "words"),
    [
        ("not_in_channel", SendOutcome.REFUSED, "invite the bot into the channel"),
        ("token_revoked", SendOutcome.REFUSED, "make a new token"),
        ("internal_error", SendOutcome.FAILED, "internal_error"),
        ("ratelimited", SendOutcome.FAILED, "ratelimited"),
    ],
)
def test_an_error_of_the_api_is_said_in_words(
    slack: Any, error: str, verdict: SendOutcome, words: str
) -> None:
    api, _, channel = slack
    api.error = error
    answer = channel.send(dispatch(), NOW)
    assert answer.outcome is verdict
    assert words in answer.detail


def test_429_is_tried_again_when_slack_says_so(slack: Any) -> None:
    _, server, channel = slack
    server.script = [Reply(429, headers={"Retry-After": "31"})]
    answer = channel.send(dispatch(), NOW)
    assert (answer.outcome, answer.retry_after) == (SendOutcome.FAILED, timedelta(seconds=31))


def test_a_message_that_was_deleted_is_not_edited_again(slack: Any) -> None:
    _, _, channel = slack
    answer = channel.send(dispatch("update", receipt=f"{CHANNEL} 7.7"), NOW)
    assert (answer.outcome, answer.status) == (SendOutcome.REFUSED, 200)


def test_no_preview_shows_the_token(slack: Any) -> None:
    _, _, channel = slack
    text = channel.preview(dispatch(), NOW)
    assert text.startswith("POST /api/chat.postMessage HTTP/1.1\r\n")
    assert "Authorization: Bearer ***" in text
    assert TOKEN not in text


def test_an_incoming_webhook_is_posted_to_and_its_path_is_a_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with receiver(lambda _: Reply(200, b"ok")) as (server, url):
        monkeypatch.setenv("SLACK_HOOK", f"{url}/services/T0/B0/abcdef")
        channel = slack_channel("ops", SlackSettings(webhook_env="SLACK_HOOK"))
        assert channel.send(dispatch(), NOW).outcome is SendOutcome.SENT
        server.script = [Reply(404, b"no_service")]
        assert channel.send(dispatch(), NOW).detail == "refused (404): no_service"
        assert "abcdef" not in channel.preview(dispatch(), NOW)
        channel.close()
    assert server.requests[0].path == "/services/T0/B0/abcdef"


@pytest.mark.parametrize("length", [1, 10_000])
def test_blocks_are_within_the_limits_of_slack_whatever_the_texts(length: int) -> None:
    long = "x<&>" * length
    given = message(server=long, why=long, reasons=(long,), next_step=long)
    blocks = blocks_of(given, NOW)
    for block in Block.parse_all(blocks):
        block.validate_json()
    assert "<&>" not in json.dumps(blocks[1])


def test_a_webhook_says_that_a_message_may_have_arrived_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SLACK_HOOK", "https://hooks.slack.example/services/T/B/x")
    with closing(slack_channel("ops", SlackSettings(webhook_env="SLACK_HOOK"))) as channel:
        shown = [channel.preview(dispatch(may_have_arrived=again), NOW) for again in (True, False)]
    assert [REPEATED in each for each in shown] == [True, False]


def test_the_blocks_of_a_group_link_to_the_others_within_the_limits_of_slack() -> None:
    links = [
        Companion(f"e{n}", "predicted", server=f"db<{n}>", url=f"https://hs.example/{'x' * 500}")
        for n in range(9)
    ]  # fmt: skip
    blocks = blocks_of(message(companions=tuple(links), others=9), NOW)
    for block in blocks:
        parsed = Block.parse(block)
        assert parsed is not None
        parsed.validate_json()
    (others,) = (b["text"]["text"] for b in blocks if b["type"] == "section" and "Others" in str(b))
    assert others.count("|db&lt;") == others.count("<https://") == 5
