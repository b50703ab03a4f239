"""After this host's clock was ahead: the site shows the present, and no negative age."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient

from storage.config.folders import Folders
from storage.lake.writer import Writer
from storage.query.reader import Reader
from tests.conftest import LakeFixture
from web.app import create_app
from web.display.source_status import SourceStatus, read_sources
from web.display.system_status import SystemStatus, system_status
from web.lake_session import LakeSession
from web.telemetry.telemetry import Telemetry

NOW = datetime.now(UTC)
AHEAD = timedelta(hours=2)
SECOND = timedelta(seconds=1)


def sample(ts: datetime, server: str = "web-1") -> dict[str, Any]:
    return {"server": server, "ts": ts, "mem_used_pct": 50.0, "source": "fleet"}


def put(lake: LakeFixture, ts: datetime, **tables: list[dict[str, Any]]) -> None:
    """Write and commit rows when this host's clock shows `ts`."""
    for name, rows in tables.items():
        lake.put(name, rows, created_at=ts)
    lake.commit(ts)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LakeFixture]:
    """Samples of two servers, until the clock is two hours ahead, and then of one of them again."""
    data = tmp_path_factory.mktemp("ahead")
    lake = LakeFixture(Folders.at(data), Writer.open(data), Reader.open(data))
    before, ahead = NOW - timedelta(seconds=90), NOW + AHEAD
    event = {"process": "engine", "pid": 1}
    put(
        lake, before, metrics=[sample(before), sample(before, "dead-1")],
        processes=[event | {"ts": before, "event": "ended"}],
        sources=[{"ts": before, "source": "fleet", "kind": "mongodb", "event": "off"}],
    )  # fmt: skip
    put(
        lake, ahead, metrics=[sample(ahead), sample(ahead, "dead-1"), sample(ahead, "new-1")],
        processes=[event | {"ts": ahead, "event": "started"}],
        sources=[{"ts": ahead, "source": "fleet", "kind": "mongodb", "event": "live"}],
    )  # fmt: skip
    put(lake, NOW - 2 * SECOND, metrics=[sample(NOW - 2 * SECOND), sample(NOW, "new-1")])
    yield lake
    lake.reader.close()
    lake.writer.close()


def test_the_server_that_sends_again_has_its_present_sample(lake: LakeFixture) -> None:
    rows = lake.reader.query("SELECT server, last_seen, age_seconds FROM fleet_now").to_pylist()
    shown = {row["server"]: row for row in rows}
    assert shown["web-1"]["last_seen"] == NOW - 2 * SECOND
    assert shown["dead-1"]["last_seen"] == NOW - timedelta(seconds=90)
    assert "new-1" in shown
    assert all(row["age_seconds"] >= 0 for row in rows)


def status(lake: LakeFixture) -> SystemStatus:
    return system_status(lake.reader, lake.folders, NOW)


def test_a_process_that_came_back_while_the_clock_was_ahead_is_not_down(lake: LakeFixture) -> None:
    shown = status(lake)
    assert [o.process for o in shown.outages] == ["engine"]
    assert shown.outages[0].back_at == NOW
    assert not [p for p in shown.problems if p.kind.startswith("process")]


def source(lake: LakeFixture) -> SourceStatus:
    return next(s for s in read_sources(lake.reader, NOW) if s.source == "test")


def test_commits_after_it_count_for_their_source_at_once(lake: LakeFixture) -> None:
    shown = source(lake)
    assert shown.last_sample == NOW
    assert shown.rows_per_min > 0
    assert shown.lag_seconds == 0


def test_a_source_that_was_turned_on_meanwhile_is_on(lake: LakeFixture) -> None:
    events = {s.source: s.event for s in read_sources(lake.reader, NOW)}
    assert events["fleet"] == "live"


def test_the_page_says_that_there_are_samples_from_the_future(lake: LakeFixture) -> None:
    problem = next(p for p in status(lake).problems if p.kind == "clock")
    assert problem.headline.startswith("Samples of 3 servers have times up to 2 h ahead")


def test_ages_on_metrics_are_of_the_present_and_not_negative(lake: LakeFixture) -> None:
    telemetry = Telemetry(LakeSession(lake.folders.data))
    telemetry.text(NOW + AHEAD)  # a scrape while the clock was ahead
    text = telemetry.text(NOW)
    values = {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
        for line in text.splitlines() if line and not line.startswith("#")
    }  # fmt: skip
    ages = {name: value for name, value in values.items() if "age_s" in name or "lag_s" in name}
    assert min(ages.values()) >= 0
    assert values["hoursight_newest_sample_age_seconds"] == 0
    assert values['hoursight_source_lag_seconds{source="test"}'] == 0
    assert values['hoursight_process_up{process="engine"}'] == 1


def test_a_fleet_that_died_while_the_clock_was_ahead_is_not_ready(tmp_path: Path) -> None:
    lake = LakeFixture(Folders.at(tmp_path), Writer.open(tmp_path), Reader.open(tmp_path))
    present = datetime.now(UTC)
    put(lake, present - timedelta(minutes=3), metrics=[sample(present - timedelta(minutes=3))])
    put(lake, present + AHEAD, metrics=[sample(present + AHEAD)])
    lake.reader.close()
    lake.writer.close()
    with TestClient(create_app(tmp_path), "http://127.0.0.1") as client:
        answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["age_seconds"] >= 180
