from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from functions.delivery.channels.alertmanager import AlertmanagerChannel, alert_of
from functions.delivery.dispatch import SendOutcome
from storage.config.channel_settings import AlertmanagerSettings
from tests.functions.delivery.alertmanager_server import AlertmanagerServer, alertmanager
from tests.functions.delivery.messages import NOW, dispatch
from tests.functions.delivery.receiver import receiver
from tests.functions.prometheus_server import until

CYCLE = timedelta(minutes=1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AlertmanagerServer]:
    with alertmanager(tmp_path_factory.mktemp("alertmanager")) as running:
        yield running


def test_a_real_alertmanager_keeps_one_alert_from_its_opening_to_its_end(
    server: AlertmanagerServer,
) -> None:
    channel = AlertmanagerChannel("am", AlertmanagerSettings(url=server.url))
    now = datetime.now(UTC)
    for action, value in (("open", 91.0), ("update", 93.5), ("update", 94.0)):
        answer = channel.send(dispatch(action, value=value), now)
        assert (answer.outcome, answer.status) == (SendOutcome.SENT, 200)
    (alert,) = until(server.alerts, "the alert is there")
    assert alert["labels"]["alertname"] == "disk fills"
    assert alert["annotations"]["now"].startswith("94 %")
    ends = datetime.fromisoformat(alert["endsAt"])
    assert abs(ends - now - 3 * CYCLE) < timedelta(seconds=1)
    channel.send(dispatch("resolve", phase="over"), datetime.now(UTC))
    until(lambda: not server.alerts(), "it is resolved")
    channel.close()


def test_a_real_alertmanager_refuses_what_is_not_valid_for_good(server: AlertmanagerServer) -> None:
    channel = AlertmanagerChannel("am", AlertmanagerSettings(url=f"{server.url}/nothing/here"))
    answer = channel.send(dispatch(), datetime.now(UTC))
    channel.close()
    assert (answer.outcome, answer.status) == (SendOutcome.REFUSED, 404)


def test_labels_stay_the_same_and_hold_no_value() -> None:
    messages = [
        dispatch(), dispatch("update", value=99.0, odds=0.99, site="elsewhere", likely=None),
        dispatch("resolve", phase="over", value=1.0),
    ]  # fmt: skip
    labels: list[Any] = [alert_of(each, NOW, CYCLE)["labels"] for each in messages]
    assert labels[0] == labels[1] == labels[2]
    assert set(labels[0]) == {
        "alertname", "server", "metric", "severity", "site", "level", "episode",
    }  # fmt: skip


def test_an_alert_ends_three_cycles_after_it_was_sent_last_or_when_it_is_resolved() -> None:
    later = NOW + timedelta(hours=1)
    open_alert = alert_of(dispatch("update"), later, CYCLE)
    closed = alert_of(dispatch("resolve", phase="over"), later, CYCLE)
    assert open_alert["startsAt"] == closed["startsAt"] == NOW.isoformat()
    assert open_alert["endsAt"] == (later + 3 * CYCLE).isoformat()
    assert closed["endsAt"] == later.isoformat()


def test_the_password_goes_along_and_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AM_PASSWORD", "sesame-open")
    with receiver() as (double, url):
        settings: Any = AlertmanagerSettings(url=url, user="hs", password_env="AM_PASSWORD")  # noqa: S106
        channel = AlertmanagerChannel("am", settings)
        channel.send(dispatch(), NOW)
        assert double.requests[0].headers["authorization"].startswith("Basic ")
        preview = channel.preview(dispatch(), NOW)
        channel.close()
    assert "Authorization: Basic ***" in preview
    assert channel.refresh_every == CYCLE
