from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from functions.engine.runner import Run, Runner
from functions.rollup import SETTLE, rollup
from storage.config.settings import Settings
from storage.model.grid import STEP, floor_step
from tests.conftest import NOW, LakeFixture
from tests.functions.module_lakes import house_at

STEP_START = floor_step(NOW) - STEP  # the newest complete step


def sample(seconds: float, memory: float | None = 50.0, server: str = "a") -> dict[str, Any]:
    """A sample `seconds` into the newest complete step."""
    ts = STEP_START + timedelta(seconds=seconds)
    return {"server": server, "ts": ts, "mem_used_pct": memory, "load_average": 1.0}


class Rolled:
    """Lets the writer and the roll-up take turns, each commit a second after the last."""

    def __init__(self, house: LakeFixture) -> None:
        self.house = house
        self.runner = Runner(house.folders, Settings())
        self.commits = 0

    def commit(self) -> None:
        self.house.commit(NOW + timedelta(seconds=self.commits))
        self.commits += 1

    def samples(self, *rows: dict[str, Any]) -> None:
        self.house.put("metrics", list(rows))
        self.commit()

    def run(self, now: datetime = NOW) -> Run:
        run = self.runner.run(rollup, "test", now)
        assert run.error is None
        self.commit()
        return run

    def steps(self) -> list[dict[str, Any]]:
        """The roll-ups in the lake, by time."""
        rows = self.house.reader.query("SELECT * FROM metrics_5m ORDER BY ts, server")
        result: list[dict[str, Any]] = rows.to_pylist()
        return result


@pytest.fixture
def rolled(house: LakeFixture) -> Rolled:
    return Rolled(house)


def written(run: Run) -> list[datetime]:
    """The steps that a run wrote."""
    rows: pa.Table = run.batch.rows["metrics_5m"]
    moments: list[datetime] = rows["ts"].to_pylist()
    return moments


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[dict[str, Any]]]:
    """The steps of two servers, rolled up once."""
    with house_at(tmp_path_factory.mktemp("rolled")) as house:
        rolled = Rolled(house)
        rolled.samples(
            sample(-600, 5.0),
            *(sample(0, 20.0), sample(100, 40.0), sample(200, None), sample(299, 60.0)),
            sample(0, 90.0, "b"),
        )
        rolled.run()
        yield rolled.steps()


def test_a_step_has_mean_max_and_count_of_its_samples(made: list[dict[str, Any]]) -> None:
    (step,) = [s for s in made if (s["server"], s["ts"]) == ("a", STEP_START)]
    assert (step["mem_used_pct_mean"], step["mem_used_pct_max"]) == (40.0, 60.0)
    assert (step["mem_used_pct_count"], step["load_average_count"]) == (3, 4)


def test_what_was_not_measured_is_null_and_not_0(made: list[dict[str, Any]]) -> None:
    assert {(s["swap_used_pct_mean"], s["swap_used_pct_max"]) for s in made} == {(None, None)}
    assert {s["swap_used_pct_count"] for s in made} == {0}


def test_a_step_without_samples_is_a_gap(made: list[dict[str, Any]]) -> None:
    moments = [s["ts"] for s in made if s["server"] == "a"]
    assert moments == [STEP_START - 2 * STEP, STEP_START]


def test_each_server_has_steps_of_its_own(made: list[dict[str, Any]]) -> None:
    assert [s["mem_used_pct_mean"] for s in made if s["server"] == "b"] == [90.0]


def test_only_complete_steps_are_rolled_up(rolled: Rolled) -> None:
    rolled.samples(sample(10), sample(310))
    assert written(rolled.run()) == [STEP_START]
    assert written(rolled.run(NOW + STEP)) == [STEP_START + STEP]


def test_a_step_that_has_just_ended_may_still_be_settling(rolled: Rolled) -> None:
    rolled.samples(sample(10))
    end = STEP_START + STEP
    assert rolled.run(end + SETTLE - timedelta(seconds=1)).outcome == "nothing"
    assert written(rolled.run(end + SETTLE)) == [STEP_START]


def test_when_nothing_is_new_nothing_is_written(rolled: Rolled) -> None:
    assert rolled.run().outcome == "nothing"
    rolled.samples(sample(10))
    rolled.run()
    assert rolled.run(NOW + STEP).outcome == "nothing"


def test_a_sample_that_comes_late_changes_its_step_once(rolled: Rolled) -> None:
    old = -3 * 86_400
    rolled.samples(sample(old, 20.0), sample(0))
    rolled.run()
    rolled.samples(sample(old + 10, 40.0))
    assert written(rolled.run()) == [STEP_START + timedelta(seconds=old)]
    assert rolled.steps()[0]["mem_used_pct_mean"] == 30.0
    assert len(rolled.steps()) == 2
    assert rolled.run().outcome == "nothing"


def test_the_cursor_moves_with_the_commits_that_were_rolled_up(rolled: Rolled) -> None:
    cursors = []
    for step in range(3):
        rolled.samples(sample(10 + 300 * step))
        cursors.append(rolled.run(NOW + step * STEP).batch.cursor or "")
    assert cursors == sorted(set(cursors))


def test_after_a_restart_only_what_is_new_is_rolled_up(rolled: Rolled) -> None:
    rolled.samples(sample(10))
    rolled.run()
    rolled.samples(sample(310))
    rolled.runner = Runner(rolled.house.folders, Settings())
    run = rolled.run(NOW + STEP)
    assert written(run) == [STEP_START + STEP]
    assert run.batch.window_key == (STEP_START + 2 * STEP).isoformat()
