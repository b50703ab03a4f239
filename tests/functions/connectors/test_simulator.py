"""The simulator as an adapter: what it writes, and where it goes on."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from functions.connectors import simulator as module
from functions.connectors.simulator import simulator
from functions.engine.runner import Run, Runner
from functions.simulator.incidents import incidents
from functions.simulator.simulated_fleet import make_fleet
from functions.simulator.simulated_series import simulate
from storage.config.settings import Settings, SimulatorSettings, SourceSettings
from storage.model.metrics import METRIC_NAMES
from tests.conftest import LakeFixture

NOW = datetime(2026, 5, 6, 12, 0, 0, tzinfo=UTC)
SEED = 7
HISTORY = timedelta(hours=2.4)


class Simulated:
    """Runs the simulator of a small fleet and commits what it writes, until it is restarted."""

    def __init__(self, house: LakeFixture) -> None:
        self.house = house
        self.restart()

    def restart(self, servers: int = 3, history: timedelta = HISTORY) -> None:
        self.settings = SimulatorSettings(True, servers, SEED, history / timedelta(days=1))
        settings = Settings(sources=SourceSettings(simulator=self.settings))
        self.runner = Runner(self.house.folders, settings)

    def run(self, now: datetime) -> Run:
        run = self.runner.run(simulator, "test", now)
        assert run.error is None
        self.house.commit(now)
        return run

    def count(self, table: str) -> int:
        return int(self.house.one(f"SELECT count(*) FROM {table}"))


@pytest.fixture
def simulated(house: LakeFixture) -> Simulated:
    return Simulated(house)


def moments(run: Run) -> list[datetime]:
    """The times that a run measured, each once."""
    return sorted(set(run.batch.rows["metrics"]["ts"].to_pylist()))


def spacing_s(found: list[datetime]) -> set[float]:
    return {(b - a).total_seconds() for a, b in pairwise(found)}


def test_the_first_run_brings_the_whole_history_at_once(simulated: Simulated) -> None:
    found = moments(simulated.run(NOW))
    assert (found[0], found[-1]) == (NOW - HISTORY + timedelta(minutes=1), NOW)
    assert spacing_s(found) == {60}
    assert simulated.count("metrics") == 3 * len(found) == 3 * 144


def test_the_lake_refuses_nothing_of_it(simulated: Simulated) -> None:
    simulated.run(NOW)
    refused = simulated.house.one("SELECT sum(rows_refused) FROM segments")
    assert refused == 0


def test_the_first_run_introduces_the_fleet_and_no_later_one(simulated: Simulated) -> None:
    simulated.run(NOW)
    assert "server_facts" not in simulated.run(NOW + timedelta(seconds=5)).batch.rows
    known = simulated.house.reader.query("SELECT * FROM servers ORDER BY server").to_pylist()
    fleet = sorted(make_fleet(3, SEED), key=lambda server: server.name)
    assert [(k["server"], k["profile"], k["site"], k["cores"]) for k in known] == [
        (s.name, s.profile, s.site, s.cores) for s in fleet
    ]
    assert {k["first_seen"] for k in known} == {NOW - HISTORY}


def test_then_it_is_live_from_where_it_was(simulated: Simulated) -> None:
    simulated.run(NOW)
    found = moments(simulated.run(NOW + timedelta(seconds=17)))
    assert found == [NOW + timedelta(seconds=s) for s in (5, 10, 15)]
    assert moments(simulated.run(NOW + timedelta(seconds=20))) == [NOW + timedelta(seconds=20)]


def test_before_the_next_sample_there_is_nothing(simulated: Simulated) -> None:
    simulated.run(NOW)
    assert simulated.run(NOW + timedelta(seconds=4)).outcome == "nothing"


@pytest.mark.parametrize(
    ("stopped_for", "step_s"), [(timedelta(minutes=50), 5), (timedelta(hours=3), 60)]
)
def test_a_gap_after_a_stop_is_filled(
    simulated: Simulated, stopped_for: timedelta, step_s: int
) -> None:
    simulated.run(NOW)
    simulated.restart()
    found = moments(simulated.run(NOW + stopped_for))
    assert spacing_s([NOW, *found]) == {step_s}
    assert found[-1] == NOW + stopped_for


def test_a_long_history_comes_in_parts_that_leave_no_gap(
    simulated: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_ROWS", 330)
    runs = [simulated.run(NOW)]
    while runs[-1].batch.row_count and len(runs) < 9:
        runs.append(simulated.run(NOW))
    parts = [moments(run) for run in runs if "metrics" in run.batch.rows]
    assert max(len(part) for part in parts) == 110
    # The last hour is always told at the live step.
    assert spacing_s([moment for part in parts for moment in part]) == {60, 5}
    assert parts[-1][-1] == NOW


def test_live_samples_and_history_are_one_story(simulated: Simulated) -> None:
    simulated.run(NOW)
    rows: pa.Table = simulated.run(NOW + timedelta(seconds=5)).batch.rows["metrics"]
    moment = np.array([int(NOW.timestamp()) + 5])
    expected = simulate(make_fleet(3, SEED), moment, [], SEED)[:, 0]  # [servers, metrics]
    found = np.array([rows[name].to_pylist() for name in METRIC_NAMES]).T
    np.testing.assert_array_equal(found, expected)


SWITCH = NOW - timedelta(minutes=90)
TIMELINE = [(SWITCH - timedelta(hours=2), "healthy"), (SWITCH, "critical")]


@pytest.fixture
def troubled(simulated: Simulated) -> Simulated:
    """A fleet of ten with trouble in its history."""
    simulated.house.put("scenarios", [{"ts": ts, "scenario": name} for ts, name in TIMELINE])
    simulated.house.commit(NOW)
    simulated.restart(servers=10)
    return simulated


def test_the_timeline_of_the_lake_is_played(troubled: Simulated) -> None:
    rows = troubled.run(NOW).batch.rows["metrics"]
    stamps = np.unique(np.asarray(rows["ts"].cast(pa.int64()))) // 1_000_000
    expected = simulate(make_fleet(10, SEED), stamps, TIMELINE, SEED)  # [servers, moments, metrics]
    memory = METRIC_NAMES.index("mem_used_pct")
    found = np.asarray(rows["mem_used_pct"]).reshape(-1, 10).T
    np.testing.assert_array_equal(found, expected[..., memory])


def test_what_is_injected_is_told_in_the_table_of_truth(troubled: Simulated) -> None:
    troubled.run(NOW)
    told = troubled.house.reader.query("SELECT * FROM truth").to_pylist()
    assert len(told) >= 3
    assert {row["scenario"] for row in told} == {"critical"}
    assert all(SWITCH <= row["starts_at"] <= NOW for row in told)


def test_each_incident_is_told_once_by_the_run_in_which_it_starts(troubled: Simulated) -> None:
    fleet, until = make_fleet(10, SEED), NOW + timedelta(seconds=1)
    planned = incidents(fleet, TIMELINE, SWITCH - HISTORY, until, SEED)
    starts = sorted({i.starts_at for i in planned if i.starts_at > SWITCH})
    # Some run ends in the very second in which an incident starts.
    assert any(start.second % 5 == 0 for start in starts)
    told: list[str] = []
    for now in (SWITCH, *starts, NOW):
        rows = troubled.run(now).batch.rows.get("truth")
        told += rows["incident_id"].to_pylist() if rows else []
    assert sorted(told) == sorted(i.incident_id for i in planned)
