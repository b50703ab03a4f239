from pathlib import Path

import pytest

from functions.delivery.dispatch import SendOutcome, SendResult
from functions.delivery.message import Companion
from functions.delivery.outbox import Outbox
from functions.delivery.outbox_erasure import erase_from_outbox
from storage.config.channel_settings import PagerdutySettings
from storage.config.folders import Folders
from storage.config.settings import Settings
from storage.model.names import erased_name
from tests.functions.delivery.messages import NOW, event, message

SETTINGS = Settings(channels={"oncall": PagerdutySettings(routing_key_env="KEY")})


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    folders = Folders.at(tmp_path)
    with Outbox(folders) as outbox:
        made = message(server="db-7", reasons=("db-7 grows faster than db-77",))
        outbox.enqueue(event(), SETTINGS.channels, lambda _: made, NOW)
        answer = SendResult(SendOutcome.SENT, "taken for db-7", 202)
        outbox.record(outbox.lease("oncall", NOW), answer, NOW)
    return folders


def test_the_name_is_in_no_text_any_more_and_a_longer_name_stays(folders: Folders) -> None:
    assert erase_from_outbox(folders, "db-7", SETTINGS, NOW) == 4
    content = folders.outbox.read_bytes().replace(b"db-77", b"")
    assert b'"db-7"' not in content
    assert b"taken for db-7" not in content
    with Outbox(folders) as outbox:
        newest = outbox.newest("e1", "oncall").message
    assert newest.server == erased_name("db-7")


def test_its_open_messages_are_resolved(folders: Folders) -> None:
    erase_from_outbox(folders, "db-7", SETTINGS, NOW)
    with Outbox(folders) as outbox:
        resolve = outbox.lease("oncall", NOW).dispatch
    assert (resolve.action, resolve.message.why) == ("resolve", "the server was deleted")
    assert resolve.message.server == erased_name("db-7")


def test_without_an_outbox_there_is_nothing_to_erase(tmp_path: Path) -> None:
    assert erase_from_outbox(Folders.at(tmp_path), "db-7", SETTINGS, NOW) == 0
    assert not (tmp_path / "outbox.sqlite").exists()


def test_a_group_in_which_others_are_left_stays_open(tmp_path: Path) -> None:
    folders = Folders.at(tmp_path)
    with Outbox(folders) as outbox:
        left = Companion("e2", "predicted", server="db-8")
        group = message(server="db-7", companions=(left,), others=1)
        outbox.enqueue(event(), SETTINGS.channels, lambda _: group, NOW)
        outbox.record(outbox.lease("oncall", NOW), SendResult(SendOutcome.SENT), NOW)
    erase_from_outbox(folders, "db-7", SETTINGS, NOW)
    with Outbox(folders) as outbox:
        assert outbox.lease("oncall", NOW) is None
