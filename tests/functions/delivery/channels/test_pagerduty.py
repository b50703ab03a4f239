from collections.abc import Iterator
from typing import Any

import pytest

from functions.delivery.channels.pagerduty import PagerdutyChannel, pagerduty_event
from functions.delivery.dispatch import SendOutcome
from storage.config.channel_settings import PagerdutySettings
from tests.functions.delivery.events_api import EventsApi
from tests.functions.delivery.messages import NOW, dispatch
from tests.functions.delivery.receiver import Receiver, Reply, receiver


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[EventsApi, Receiver, Any]]:
    monkeypatch.setenv("PAGERDUTY_KEY", EventsApi.KEY)
    api = EventsApi()
    with receiver(api.handle) as (server, url):
        settings = PagerdutySettings(routing_key_env="PAGERDUTY_KEY", url=f"{url}/v2/enqueue")
        channel = PagerdutyChannel("oncall", settings)
        yield api, server, channel
        channel.close()


def test_an_incident_is_triggered_acknowledged_and_resolved_by_one_key(service: Any) -> None:
    api, _, channel = service
    states = []
    for action in ("open", "update", "acknowledge", "resolve"):
        assert channel.send(dispatch(action), NOW).outcome is SendOutcome.SENT
        states.append(api.incidents["e1/critical/oncall"])
    assert states == ["triggered", "triggered", "acknowledged", "resolved"]
    assert list(api.incidents) == ["e1/critical/oncall"]


def test_the_payload_is_what_an_operator_needs() -> None:
    event = pagerduty_event(dispatch(), "key", NOW)
    payload: Any = event["payload"]
    assert payload["summary"].startswith("Critical: disk used on db-7 likely passes 95 %")
    assert (payload["source"], payload["severity"]) == ("db-7", "critical")
    assert payload["custom_details"]["Odds"].startswith("62 %")
    assert len(event["links"]) == 2  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("slug", "severity"),
    [("imminent", "critical"), ("danger", "error"), ("warning", "warning"), ("watch", "info")],
)
def test_each_level_has_a_severity_of_theirs(slug: str, severity: str) -> None:
    payload: Any = pagerduty_event(dispatch(severity=slug), "key", NOW)["payload"]
    assert payload["severity"] == severity


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        (Reply(400, b'{"status":"invalid event"}'), SendOutcome.REFUSED),
        (Reply(429), SendOutcome.FAILED),
        (Reply(500), SendOutcome.FAILED),
        (Reply(200), SendOutcome.REFUSED),
    ],
)
def test_anything_but_202_is_not_sent(service: Any, reply: Reply, verdict: SendOutcome) -> None:
    _, server, channel = service
    server.script = [reply]
    answer = channel.send(dispatch(), NOW)
    assert answer.outcome is verdict


def test_a_wrong_key_is_refused_and_no_message_shows_a_key(service: Any) -> None:
    api, _, channel = service
    api.KEY = "another"
    answer = channel.send(dispatch(), NOW)
    assert (answer.outcome, answer.status) == (SendOutcome.REFUSED, 400)
    assert EventsApi.KEY not in str(answer.detail) + channel.preview(dispatch(), NOW)
