from pathlib import Path

import pytest

from functions.delivery.dispatch import SendOutcome, SendResult
from functions.delivery.outbox import Outbox, always
from functions.delivery.routing import EpisodeEvent
from scripts.cli.alert_message import ChannelUnknown, send_message
from storage.config.folders import Folders
from storage.config.settings import read_settings
from tests.conftest import NOW, LakeFixture
from tests.functions.delivery.messages import message
from tests.functions.test_deliver import SETTINGS, event


@pytest.fixture
def data(house: LakeFixture, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOOK_SECRET", "whsec-hidden")
    (house.folders.data / "hoursight.toml").write_text(SETTINGS)
    house.put("alert_events", [event()])
    house.commit()
    return house.folders.data


def shown(data: Path) -> str:
    lines: list[str] = []
    assert send_message(data, "e1", "hook", lines.append, dry_run=True)
    return "\n".join(lines)


def test_what_was_sent_is_shown_as_its_next_message(data: Path) -> None:
    assert '"action":"open"' in shown(data)
    opened = EpisodeEvent("e1", NOW, "opened", "predicted", "critical", 0, "hook")
    with Outbox(Folders.at(data)) as outbox:
        outbox.enqueue(opened, read_settings(data).channels, always(message()), NOW)
        outbox.record(outbox.lease("hook", NOW), SendResult(SendOutcome.SENT), NOW)
    assert '"action":"update"' in shown(data)


def test_a_channel_that_does_not_exist_is_named_with_those_that_do(data: Path) -> None:
    with pytest.raises(ChannelUnknown, match="no channel 'pager'; there are: hook: add it"):
        send_message(data, "e1", "pager", print, dry_run=True)
