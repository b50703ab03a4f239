from datetime import timedelta
from pathlib import Path

import pytest

from functions.delivery.dispatch import SendOutcome, SendResult
from functions.delivery.fleet_liveness import FleetLiveness
from functions.delivery.heartbeat_thread import note_liveness
from functions.delivery.outbox import Outbox
from scripts.cli.doctor_deliveries import delivery_findings
from storage.config.channel_settings import HeartbeatSettings, PagerdutySettings
from storage.config.folders import Folders
from storage.config.settings import Settings
from tests.functions.delivery.messages import NOW, event, message

LATER = NOW + timedelta(minutes=11)


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders.at(tmp_path)


def found(folders: Folders, settings: Settings) -> list[tuple[str, str, str | None]]:
    each = delivery_findings(folders, settings, LATER)
    return [(f.about, f.text, f.remedy) for f in each]


def test_a_channel_says_what_waits_and_how_it_failed(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(channels={"oncall": PagerdutySettings(routing_key_env="KEY")})
    monkeypatch.setenv("KEY", "k")
    assert found(folders, settings) == [("channel oncall", "nothing waits", None)]
    with Outbox(folders) as outbox:
        outbox.enqueue(event(), settings.channels, lambda _: message(), NOW)
        outbox.record(outbox.lease("oncall", NOW), SendResult(SendOutcome.FAILED, "HTTP 500"), NOW)
    ((_, text, remedy),) = found(folders, settings)
    assert text.startswith("1 messages wait, the oldest since 2026-05-06 03:00")
    assert remedy == "HTTP 500"


def test_a_channel_without_its_secret_is_named(folders: Folders) -> None:
    settings = Settings(channels={"oncall": PagerdutySettings(routing_key_env="NOT_SET")})
    ((about, _, remedy),) = found(folders, settings)
    assert about == "channel oncall"
    assert remedy is not None
    assert "channels.oncall.routing_key_env names the variable 'NOT_SET'" in remedy


def test_a_heartbeat_that_is_withheld_says_why(folders: Folders) -> None:
    settings = Settings(heartbeat=HeartbeatSettings(url="https://beat.example"))
    assert found(folders, settings) == [
        ("heartbeat", "withheld", "the engine has not judged the fleet yet")
    ]
    with Outbox(folders) as outbox:
        note_liveness(outbox, FleetLiveness(True, "20 of 20 servers"), LATER)
    assert found(folders, settings) == [("heartbeat", "not sent yet; 20 of 20 servers", None)]


def test_an_outbox_that_is_damaged_is_a_finding(folders: Folders) -> None:
    folders.outbox.write_bytes(b"x" * 5000)
    ((about, text, remedy),) = found(folders, Settings())
    assert (about, "is damaged" in text) == ("outbox", True)
    assert remedy is not None


def test_a_refusal_of_the_last_day_is_shown_with_what_to_do(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(channels={"oncall": PagerdutySettings(routing_key_env="KEY")})
    monkeypatch.setenv("KEY", "k")
    with Outbox(folders) as outbox:
        outbox.enqueue(event(), settings.channels, lambda _: message(), NOW)
        outbox.record(
            outbox.lease("oncall", NOW),
            SendResult(SendOutcome.REFUSED, "bad key", 400),
            NOW,
        )
    ((_, text, remedy),) = found(folders, settings)
    assert text == "refused a message 2026-05-06 03:00:00Z: bad key"
    assert remedy == "mend that, then 'hoursight alerts send EPISODE CHANNEL'"
