from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from functions.deliver import deliver
from functions.delivery.dispatch import Dispatch, SendOutcome, SendResult
from functions.delivery.heartbeat_thread import ping_state
from functions.delivery.outbox import Outbox
from functions.engine.function import Batch
from functions.engine.window import Window
from storage.config.signed_links import SignedLinks
from storage.model.grid import STEP
from storage.query.memory_lake import MemoryLake
from tests.conftest import NOW
from tests.functions.delivery.memory_lakes import memory_lake, put

SETTINGS = """\
[alerts]
public_url = "https://hs.example/"
[channels.hook]
kind = "webhook"
url = "https://hook.example"
secret_env = "HOOK_SECRET"
"""


class DeliveryLake:
    """A lake in memory whose rows the function reads, and to which its own are added."""

    def __init__(self, memory: MemoryLake) -> None:
        self.folders, self.reader = memory.reader.folders, memory.reader
        self._memory = memory
        self._cursor: str | None = None

    def put(self, name: str, rows: list[dict[str, Any]]) -> None:
        put(self._memory, name, rows)

    def run(self, minute: int = 0) -> Batch:
        """Run the function `minute` minutes later."""
        window = Window(self.reader, NOW + timedelta(minutes=minute))
        batch = deliver.batch(deliver.call(window, self._cursor))
        self._cursor = batch.cursor or self._cursor
        for name, rows in batch.rows.items():
            self._memory.put(name, rows)
        return batch


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[DeliveryLake]:
    (tmp_path / "hoursight.toml").write_text(SETTINGS)
    with memory_lake(tmp_path) as memory:
        yield DeliveryLake(memory)


def event(name: str = "opened", phase: str = "predicted", **fields: Any) -> dict[str, Any]:
    """A row of `alert_events`, of the disk of db-7."""
    after = timedelta(minutes=fields.pop("after", 0))
    name = fields.pop("name", name)
    known = {
        "episode": "e1", "ts": NOW + after, "event": name, "phase": phase, "server": "db-7",
        "metric": "disk_usage_pct", "rule": "disk fills", "severity": "critical", "escalation": 0,
        "value": 91.0, "threshold": 95.0, "p": 0.6, "lead_minutes": 60, "channels": "hook",
        "likely": NOW + timedelta(minutes=43), "why": "it grows", "reasons": ["4 points an hour"],
    }  # fmt: skip
    return known | fields


def leased(lake: DeliveryLake, minute: int = 0) -> Dispatch:
    """Take what is due, and say that it was sent."""
    now = NOW + timedelta(minutes=minute)
    with Outbox(lake.folders) as outbox:
        taken = outbox.lease("hook", now)
        outbox.record(taken, SendResult(SendOutcome.SENT, status=200, receipt="r1"), now)
    return taken.dispatch


def test_an_episode_is_delivered_from_its_opening_to_its_end_and_mirrored(
    lake: DeliveryLake,
) -> None:
    lake.put("alert_events", [event()])
    for _ in range(2):
        lake.run()
    assert leased(lake).action == "open"
    lake.put("alert_events", [event("closed", "over", after=5, channels=None)])
    lake.run(5)
    assert leased(lake, 5).action == "resolve"
    lake.run(6)
    rows = lake.reader.query("SELECT action, outcome, receipt FROM deliveries ORDER BY ts, outcome")
    assert [tuple(row.values()) for row in rows.to_pylist()] == [
        ("open", "queued", None), ("open", "sent", "r1"),
        ("resolve", "queued", None), ("resolve", "sent", "r1"),
    ]  # fmt: skip


def test_a_message_says_what_is_usual_how_the_rule_fared_and_what_to_do(lake: DeliveryLake) -> None:
    days = [
        {"server": "db-7", "ts": (NOW - timedelta(days=day)).replace(second=0) - i * STEP,
         "disk_usage_pct_mean": 60.0 + day}
        for day in range(1, 6) for i in range(3)
    ]  # fmt: skip
    lake.put("metrics_5m", days)
    earlier = [
        event(phase="predicted", episode=f"old{i}", after=-60 * 30, channels=None) for i in range(3)
    ]
    ends = [("over", NOW - timedelta(days=1)), ("withdrawn", None), ("averted", None)]
    closed = [
        event("closed", phase, episode=f"old{i}", after=-60 * 29, breached_at=at, channels=None)
        for i, (phase, at) in enumerate(ends)
    ]
    odds = {"server": "db-7", "metric": "disk_usage_pct", "issued_at": NOW, "checked": False}
    lake.put("odds", [odds])
    lake.put("alert_events", [*earlier, *closed, event(caused_by="old1")])
    lake.run()
    message = leased(lake).message
    assert message.usual == pytest.approx(63.0)
    assert message.trust == "1 of 2 warnings of this rule came true in 30 days, 1 averted"
    assert message.checked is False
    assert message.next_step is not None
    assert message.next_step.startswith("Free space")
    assert message.caused_by == "Disk used on db-7 (old1)"
    assert (message.label, message.unit) == ("Disk used", "%")
    assert message.odds == pytest.approx(0.6)


def test_a_message_links_to_the_server_as_of_then_and_to_an_act_that_is_signed(
    lake: DeliveryLake,
) -> None:
    lake.put("alert_events", [event(server="db 7/a")])
    lake.run()
    message = leased(lake).message
    assert message.url is not None
    assert message.act_url is not None
    assert message.url.startswith(
        "https://hs.example/servers/db%207%2Fa?at=2026-05-06T12%3A00%3A30"
    )
    token = message.act_url.removeprefix("https://hs.example/act/")
    claim = SignedLinks(lake.folders).claim(token, NOW)
    assert (claim.episode, claim.channel) == ("e1", "hook")


def test_a_lost_outbox_sends_nothing_again_and_resolves_what_it_had_opened(
    lake: DeliveryLake,
) -> None:
    lake.put("alert_events", [event()])
    lake.run()
    leased(lake)
    lake.run(1)
    lake.folders.outbox.unlink()
    lake.put("alert_events", [event("closed", "over", after=2)])
    lake.run(2)
    assert leased(lake, 2).action == "resolve"
    with Outbox(lake.folders) as outbox:
        assert outbox.lease("hook", NOW + timedelta(hours=1)) is None


def test_events_of_days_ago_make_no_messages(lake: DeliveryLake) -> None:
    lake.put("alert_events", [event(after=-60 * 25)])
    lake.run()
    with Outbox(lake.folders) as outbox:
        assert outbox.keys_of("e1") == []


def test_a_channel_that_the_settings_do_not_have_is_counted_with_its_name(
    lake: DeliveryLake,
) -> None:
    lake.put("alert_events", [event(channels="hook,on-call")])
    batch = lake.run()
    assert batch.refused == 1
    assert batch.reasons == ("1 messages to channels that hoursight.toml does not have: on-call",)


def test_an_open_message_says_what_the_odds_say_now_and_the_heartbeat_is_judged(
    lake: DeliveryLake,
) -> None:
    with lake.folders.settings.open("a") as file:
        file.write("[heartbeat]\nurl = 'https://beat.example'\n")
    lake.put("alert_events", [event()])
    lake.run()
    leased(lake)
    odds = {"server": "db-7", "metric": "disk_usage_pct", "value": 94.0, "p_60m": 0.9}
    lake.put("odds", [odds | {"issued_at": NOW + timedelta(minutes=5)}])
    lake.run(6)
    with Outbox(lake.folders) as outbox:
        (message,) = outbox.open_messages().values()
        state = ping_state(outbox)
    assert (message.value, message.odds) == pytest.approx((94.0, 0.9))
    assert state.withheld(NOW + timedelta(minutes=6)) == (
        "no server has the history that a forecast needs yet"
    )


def disks(*servers: str, **fields: Any) -> list[dict[str, Any]]:
    """Events of one time and group, of the disks of several servers."""
    return [
        event(episode=f"of {s}", server=s, group_id="of a" if s != "a" else None, **fields)
        for s in servers
    ]  # fmt: skip


def test_a_group_is_one_message_that_is_updated_until_its_last_one_is_over(
    lake: DeliveryLake,
) -> None:
    lake.put("alert_events", disks("a", "b"))
    lake.run()
    opened = leased(lake)
    assert (opened.action, opened.message.server, opened.message.others) == ("open", "a", 1)
    lake.put("alert_events", disks("c", after=1, phase="breached", severity="imminent"))
    lake.put("alert_events", disks("a", name="closed", after=1, phase="over"))
    lake.run(1)
    risen = [leased(lake, 1) for _ in range(2)]
    assert [(d.action, d.level) for d in risen] == [("open", "imminent"), ("resolve", "critical")]
    assert (risen[0].message.server, risen[0].message.others, risen[0].message.ended) == ("c", 1, 1)
    lake.put("alert_events", disks("b", "c", name="closed", after=2, phase="over"))
    lake.run(2)
    ended = leased(lake, 2)
    assert (ended.action, ended.delivery) == ("resolve", "of c/imminent/hook")
    with Outbox(lake.folders) as outbox:
        assert outbox.lease("hook", NOW + timedelta(minutes=9)) is None


def test_the_link_of_a_group_is_for_the_newest_that_waits_for_an_answer(
    lake: DeliveryLake,
) -> None:
    lake.put("alert_events", disks("a"))
    lake.put("alert_events", disks("b", after=1))
    lake.run(1)
    urls = [str(leased(lake, 1).message.act_url) for _ in range(2)]
    links = SignedLinks(lake.folders)
    claims = [links.claim(url.removeprefix("https://hs.example/act/"), NOW) for url in urls]
    assert [claim.episode for claim in claims] == ["of a", "of b"]


def test_a_group_of_more_events_than_a_run_takes_is_still_one_message(
    lake: DeliveryLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.deliver.MAX_EVENTS", 2)
    lake.put("alert_events", disks("a", "b", "c", "d"))
    lake.run()
    assert leased(lake).message.others == 3
    with Outbox(lake.folders) as outbox:
        assert outbox.lease("hook", NOW) is None
