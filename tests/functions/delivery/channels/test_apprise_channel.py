from collections.abc import Iterator
from typing import Any

import pytest

from functions.delivery.channels.apprise_channel import AppriseChannel
from functions.delivery.dispatch import REPEATED, ChannelUnusable, SendOutcome
from storage.config.channel_settings import AppriseSettings
from tests.functions.delivery.messages import NOW, dispatch
from tests.functions.delivery.receiver import Receiver, Reply, receiver

# A plugin that Apprise loads imports it.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr':DeprecationWarning")
SETTINGS = AppriseSettings(url_env="APPRISE_URL")


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Receiver, AppriseChannel]]:
    with receiver() as (server, url):
        host = url.removeprefix("http://")
        monkeypatch.setenv("APPRISE_URL", f"json://hs:passw0rd@{host}/hidden-path")
        yield server, AppriseChannel("other", SETTINGS)


def test_a_message_goes_to_the_receiver_of_the_url(service: Any) -> None:
    server, channel = service
    assert channel.send(dispatch(), NOW).outcome is SendOutcome.SENT
    body = server.requests[0].json
    assert body["title"].startswith("Critical: disk used on db-7 likely passes 95 % in 43 min")
    assert "Odds: 62 % that it breaches within 1 h" in body["message"]
    assert body["type"] == "failure"


def test_a_message_that_is_not_taken_is_tried_again_and_no_secret_is_shown(service: Any) -> None:
    server, channel = service
    server.script = [Reply(500, b"hidden-path is broken")]
    answer = channel.send(dispatch(), NOW)
    assert (answer.outcome, answer.may_have_arrived) == (SendOutcome.FAILED, True)
    shown = str(answer.detail) + channel.preview(dispatch(), NOW)
    assert "500" in shown
    assert not any(secret in shown for secret in ("hidden-path", "passw0rd"))


def test_a_url_that_apprise_does_not_know_is_named_without_its_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("APPRISE_URL", "carrier://pigeon-7")
    with pytest.raises(ChannelUnusable, match="'carrier'") as error:
        AppriseChannel("other", SETTINGS)
    assert "pigeon-7" not in str(error.value)


def test_a_message_that_may_have_arrived_says_so(service: Any) -> None:
    server, channel = service
    channel.send(dispatch(may_have_arrived=True), NOW)
    channel.send(dispatch(), NOW)
    assert [REPEATED in each.json["message"] for each in server.requests] == [True, False]
