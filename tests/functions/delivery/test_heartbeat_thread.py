import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from functions.delivery.channels.http_sending import HttpSender
from functions.delivery.dispatch import ChannelUnusable
from functions.delivery.fleet_liveness import FleetLiveness
from functions.delivery.heartbeat_thread import HeartbeatThread, note_liveness, ping_state
from functions.delivery.outbox_file import OutboxFile
from storage.config.channel_settings import ChannelSettings, HeartbeatSettings
from storage.config.folders import Folders
from tests.functions.delivery.messages import NOW
from tests.functions.delivery.receiver import Receiver, Reply, receiver

GOOD = FleetLiveness(True, "20 of 20 servers have a fresh forecast")
BAD = FleetLiveness(False, "only 3 of 20 servers have a fresh forecast (expected 95 %)")


@dataclass
class Beating:
    """A heartbeat whose clock goes on by minutes."""

    file: OutboxFile
    server: Receiver
    url: str
    thread: HeartbeatThread
    now: list[datetime] = field(default_factory=lambda: [NOW])

    def after(self, minutes: int, liveness: FleetLiveness | None = None) -> int:
        """Return the number of calls so far, `minutes` later."""
        self.now[0] += timedelta(minutes=minutes)
        if liveness is not None:
            note_liveness(self.file, liveness, self.now[0])
        sender = HttpSender(ChannelSettings())
        self.thread.ping_if_due(self.file, sender, self.url)
        sender.close()
        return len(self.server.requests)


@pytest.fixture
def beating(tmp_path: Path) -> Iterator[Beating]:
    now = [NOW]
    settings = HeartbeatSettings(url="https://beat.example", every="2m")
    thread = HeartbeatThread(Folders.at(tmp_path), settings, lambda: now[0])
    with receiver() as (server, url), OutboxFile(tmp_path / "outbox.sqlite") as file:
        yield Beating(file, server, url, thread, now)


def test_the_url_is_called_once_a_period_while_all_is_well(beating: Beating) -> None:
    assert [beating.after(1, GOOD) for _ in range(5)] == [1, 1, 2, 2, 3]
    state = ping_state(beating.file)
    assert (state.answer, state.pinged_at) == ("ok", beating.now[0])
    assert state.withheld(beating.now[0]) is None


def test_it_is_withheld_with_the_reason_when_too_few_servers_are_forecast(
    beating: Beating, caplog: pytest.LogCaptureFixture
) -> None:
    assert beating.after(1, GOOD) == 1
    assert [beating.after(5, BAD) for _ in range(3)] == [1, 1, 1]
    assert caplog.text.count("the heartbeat is withheld: only 3 of 20 servers") == 1
    assert beating.after(5, GOOD) == 2


def test_it_is_withheld_when_the_engine_does_not_judge_any_more(beating: Beating) -> None:
    assert beating.after(0) == 0
    assert beating.after(1, GOOD) == 1
    assert beating.after(6) == 1
    why = ping_state(beating.file).withheld(beating.now[0])
    assert why == "the engine judged the fleet last at 2026-05-06 03:01 UTC"


def test_a_call_that_is_not_accepted_is_shown_and_made_again_a_period_later(
    beating: Beating,
) -> None:
    beating.server.script = [Reply(500)]
    beating.after(1, GOOD)
    assert ping_state(beating.file).answer == "answers 500"
    assert beating.after(2, GOOD) == 2
    assert ping_state(beating.file).answer == "ok"


def test_a_secret_that_is_missing_is_named(tmp_path: Path) -> None:
    thread = HeartbeatThread(Folders.at(tmp_path), HeartbeatSettings(url_env="NOT_SET"))
    with pytest.raises(ChannelUnusable, match=r"heartbeat\.url_env names the variable 'NOT_SET'"):
        thread.keep_pinging(threading.Event())
