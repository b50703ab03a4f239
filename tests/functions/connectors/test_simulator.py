"""Simulator source: its history, live samples, gaps and truth rows."""

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


class SimulatorRun:
    """Runs the simulator of a small fleet and commits what it writes; may be restarted."""

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
def simulated(house: LakeFixture) -> SimulatorRun:
    return SimulatorRun(house)


def times_of(run: Run) -> list[datetime]:
    """The times of the samples of a run, each once."""
    return sorted(set(run.batch.rows["metrics"]["ts"].to_pylist()))


def spacing_s(times: list[datetime]) -> set[float]:
    return {(b - a).total_seconds() for a, b in pairwise(times)}


def test_the_first_run_returns_the_whole_history(simulated: SimulatorRun) -> None:
    result = times_of(simulated.run(NOW))
    assert (result[0], result[-1]) == (NOW - HISTORY + timedelta(minutes=1), NOW)
    assert spacing_s(result) == {60}
    assert simulated.count("metrics") == 3 * len(result) == 3 * 144


def test_the_lake_rejects_no_sample(simulated: SimulatorRun) -> None:
    simulated.run(NOW)
    refused = simulated.house.one("SELECT sum(rows_refused) FROM segments")
    assert refused == 0


def test_only_the_first_run_writes_the_facts_of_the_fleet(simulated: SimulatorRun) -> None:
    simulated.run(NOW)
    assert "server_facts" not in simulated.run(NOW + timedelta(seconds=5)).batch.rows
    rows = simulated.house.reader.query("SELECT * FROM servers ORDER BY server").to_pylist()
    fleet = sorted(make_fleet(3, SEED), key=lambda server: server.name)
    assert [(r["server"], r["profile"], r["site"], r["cores"]) for r in rows] == [
        (s.name, s.profile, s.site, s.cores) for s in fleet
    ]
    assert {r["first_seen"] for r in rows} == {NOW - HISTORY}


def test_later_runs_continue_at_the_live_step(simulated: SimulatorRun) -> None:
    simulated.run(NOW)
    result = times_of(simulated.run(NOW + timedelta(seconds=17)))
    assert result == [NOW + timedelta(seconds=s) for s in (5, 10, 15)]
    assert times_of(simulated.run(NOW + timedelta(seconds=20))) == [NOW + timedelta(seconds=20)]


def test_a_run_before_the_next_sample_returns_nothing(simulated: SimulatorRun) -> None:
    simulated.run(NOW)
    assert simulated.run(NOW + timedelta(seconds=4)).outcome == "nothing"


@pytest.mark.parametrize(
    ("stopped_for", "step_s"), [(timedelta(minutes=50), 5), (timedelta(hours=3), 60)]
)
def test_the_gap_after_a_restart_is_filled(
    simulated: SimulatorRun, stopped_for: timedelta, step_s: int
) -> None:
    simulated.run(NOW)
    simulated.restart()
    result = times_of(simulated.run(NOW + stopped_for))
    assert spacing_s([NOW, *result]) == {step_s}
    assert result[-1] == NOW + stopped_for


def test_a_long_history_is_split_into_runs_without_a_gap(
    simulated: SimulatorRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_ROWS", 330)
    runs = [simulated.run(NOW)]
    while runs[-1].batch.row_count and len(runs) < 9:
        runs.append(simulated.run(NOW))
    parts = [times_of(run) for run in runs if "metrics" in run.batch.rows]
    assert max(len(part) for part in parts) == 110
    # The last hour is always at the live step.
    assert spacing_s([ts for part in parts for ts in part]) == {60, 5}
    assert parts[-1][-1] == NOW


def test_live_samples_are_those_of_the_simulated_series(simulated: SimulatorRun) -> None:
    simulated.run(NOW)
    rows: pa.Table = simulated.run(NOW + timedelta(seconds=5)).batch.rows["metrics"]
    now = np.array([int(NOW.timestamp()) + 5])
    expected = simulate(make_fleet(3, SEED), now, [], SEED)[:, 0]  # [servers, metrics]
    result = np.array([rows[name].to_pylist() for name in METRIC_NAMES]).T
    np.testing.assert_array_equal(result, expected)


SWITCH = NOW - timedelta(minutes=90)
TIMELINE = [(SWITCH - timedelta(hours=2), "healthy"), (SWITCH, "critical")]


@pytest.fixture
def critical_fleet(simulated: SimulatorRun) -> SimulatorRun:
    """A fleet of ten with incidents in its history."""
    simulated.house.put("scenarios", [{"ts": ts, "scenario": name} for ts, name in TIMELINE])
    simulated.house.commit(NOW)
    simulated.restart(servers=10)
    return simulated


def test_the_samples_follow_the_scenarios_in_the_lake(critical_fleet: SimulatorRun) -> None:
    rows = critical_fleet.run(NOW).batch.rows["metrics"]
    stamps = np.unique(np.asarray(rows["ts"].cast(pa.int64()))) // 1_000_000
    expected = simulate(make_fleet(10, SEED), stamps, TIMELINE, SEED)  # [servers, times, metrics]
    memory = METRIC_NAMES.index("mem_used_pct")
    result = np.asarray(rows["mem_used_pct"]).reshape(-1, 10).T
    np.testing.assert_array_equal(result, expected[..., memory])


def test_injected_incidents_are_rows_of_the_truth_table(critical_fleet: SimulatorRun) -> None:
    critical_fleet.run(NOW)
    truth = critical_fleet.house.reader.query("SELECT * FROM truth").to_pylist()
    assert len(truth) >= 3
    assert {row["scenario"] for row in truth} == {"critical"}
    assert all(SWITCH <= row["starts_at"] <= NOW for row in truth)


def test_each_incident_is_written_once_by_the_run_in_which_it_starts(
    critical_fleet: SimulatorRun,
) -> None:
    fleet, until = make_fleet(10, SEED), NOW + timedelta(seconds=1)
    planned = incidents(fleet, TIMELINE, SWITCH - HISTORY, until, SEED)
    starts = sorted({i.starts_at for i in planned if i.starts_at > SWITCH})
    # Some run ends in the very second in which an incident starts.
    assert any(start.second % 5 == 0 for start in starts)
    ids: list[str] = []
    for now in (SWITCH, *starts, NOW):
        rows = critical_fleet.run(now).batch.rows.get("truth")
        ids += rows["incident_id"].to_pylist() if rows else []
    assert sorted(ids) == sorted(i.incident_id for i in planned)
