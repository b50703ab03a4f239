from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from functions.delivery.dispatch import SendOutcome, SendResult
from functions.delivery.outbox import Outbox
from functions.delivery.outbox_reading import Waiting, seconds, time_at
from storage.config.channel_settings import Channel, PagerdutySettings
from storage.config.folders import Folders
from tests.functions.delivery.messages import NOW, event, message

CHANNELS: dict[str, Channel] = {"oncall": PagerdutySettings(routing_key_env="KEY")}


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with Outbox(Folders.at(tmp_path)) as opened:
        opened.enqueue(event(), CHANNELS, lambda _: message(), NOW)
        yield opened


def test_what_waits_is_counted_with_its_age_and_its_last_failure(outbox: Outbox) -> None:
    assert outbox.waiting("oncall") == Waiting(1, NOW, None)
    outbox.record(outbox.lease("oncall", NOW), SendResult(SendOutcome.FAILED, "HTTP 500"), NOW)
    assert outbox.waiting("oncall") == Waiting(1, NOW, "HTTP 500")
    assert outbox.waiting("mail") == Waiting(0, None, None)


def test_the_newest_message_is_one_that_the_channel_has_taken(outbox: Outbox) -> None:
    assert outbox.newest("e1", "oncall") is None
    outbox.record(outbox.lease("oncall", NOW), SendResult(SendOutcome.SENT, receipt="r1"), NOW)
    newest = outbox.newest("e1", "oncall")
    assert (newest.action, newest.receipt) == ("update", "r1")


def test_an_event_is_known_once_it_is_enqueued(outbox: Outbox) -> None:
    assert outbox.knows(event())
    assert not outbox.knows(event(after=1))
    assert outbox.newest_event() == NOW


def test_outcomes_continue_after_the_last_number(outbox: Outbox) -> None:
    rows, number = outbox.outcomes_after(0)
    assert [row["outcome"] for row in rows] == ["queued"]
    assert outbox.outcomes_after(number) == ([], number)


def test_a_time_is_stored_and_read_back() -> None:
    assert time_at(seconds(NOW + timedelta(milliseconds=250))) == NOW + timedelta(milliseconds=250)
    assert time_at(None) is None
