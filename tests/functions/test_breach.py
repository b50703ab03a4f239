from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from functions.breach import breach, breach_rows
from functions.engine.window import Window
from functions.rules.acted_on import Act
from functions.rules.odds.breaches import CARRY_STEPS
from storage.config.folders import Folders
from storage.model.grid import STEP, floor_step
from storage.model.metrics import METRIC_NAMES
from storage.model.schema import table
from storage.query.memory_lake import MemoryLake
from storage.query.windows import Contexts
from tests.conftest import NOW

ORIGIN = floor_step(NOW)
IDLE = METRIC_NAMES.index("cpu_idle_pct")
Row = dict[str, Any]


def at(steps: int) -> datetime:
    return ORIGIN + steps * STEP


def noted(values: list[float], start: int, stored: Any = (), acts: Any = ()) -> list[Row]:
    """The critical breaches of idle CPU, at 2 %, that these steps from `start` on change."""
    steps = np.full((1, CARRY_STEPS + len(values), len(METRIC_NAMES)), np.nan, np.float32)
    steps[0, CARRY_STEPS:, IDLE] = values
    history = Contexts(("a",), ("generic",), (4,), at(start - CARRY_STEPS), steps)
    rows = breach_rows(history, CARRY_STEPS, stored, acts)
    return [row for row in rows if row["level"] == "critical"]


def test_a_breach_has_its_level_and_its_worst_reading_as_people_see_them() -> None:
    assert noted([50, 2, 1.5, 1, 50], 0) == [
        {"server": "a", "metric": "cpu_idle_pct", "level": "critical", "ts": at(1),
         "ended_at": at(4), "threshold": 2.0, "peak": 1.0, "acted_on": False},
    ]  # fmt: skip


@pytest.mark.parametrize("began", [at(-9), at(-60)])
def test_a_breach_that_goes_on_keeps_its_start_and_its_worst_reading(began):
    known = {"server": "a", "metric": "cpu_idle_pct", "level": "critical"}
    stored = known | {"ts": began, "ended_at": at(1), "peak": 0.5, "acted_on": True}
    (row,) = noted([1, 1, 1, 1], 0, [stored])
    assert (row["ts"], row["ended_at"], row["peak"]) == (began, at(4), 0.5)
    assert row["acted_on"]


@pytest.mark.parametrize(
    ("act", "acted_on"),
    [
        (Act(CARRY_STEPS - 10, CARRY_STEPS - 10, "a"), True),
        (Act(CARRY_STEPS - 10, CARRY_STEPS - 10, pattern="a*", metric="cpu_idle_pct"), True),
        (Act(CARRY_STEPS - 10, CARRY_STEPS - 10, "a", metric="mem_used_pct"), False),
        (Act(CARRY_STEPS - 10, CARRY_STEPS - 10, "b"), False),
        (Act(-200, CARRY_STEPS - 97, "a"), False),
        (Act(CARRY_STEPS + 1, CARRY_STEPS + 1, "a"), False),
    ],
)
def test_a_breach_is_marked_when_somebody_acted_in_the_eight_hours_before(act, acted_on):
    assert [row["acted_on"] for row in noted([1, 1, 1], 0, acts=[act])] == [acted_on]


def test_breaches_are_noted_piece_by_piece_and_late_steps_count(tmp_path: Path) -> None:
    lake, cursor, seconds = MemoryLake(Folders.at(tmp_path)), None, iter(range(99))
    facts = [{"server": "a", "ts": at(-999), "profile": "generic"}]
    lake.at(at(0))
    lake.put("server_facts", table("server_facts").rows(facts))

    def note(values: list[float], start: int) -> list[tuple[Any, ...]]:
        nonlocal cursor
        steps = [
            {"server": "a", "ts": at(start + i), "cpu_idle_pct_mean": v}
            for i, v in enumerate(values) if v == v
        ]  # fmt: skip
        lake.at(at(0) + timedelta(seconds=next(seconds)))
        lake.put("metrics_5m", table("metrics_5m").rows(steps))
        more = True
        while more:
            made = breach.batch(breach.call(Window(lake.reader, at(0)), cursor))
            for name, rows in made.rows.items():
                lake.put(name, rows)
            cursor, more = made.cursor, made.more
        rows = lake.reader.query(
            "SELECT ts, ended_at FROM breaches WHERE level = 'critical' ORDER BY ts"
        )
        return [tuple(row.values()) for row in rows.to_pylist()]

    gap = [float("nan")] * 180
    first = [*[50.0] * 90, *[1.0] * 310, 50.0, *gap, 1.0, 1.0, 1.0]  # over a border of days
    assert note(first, -584) == [(at(-494), at(-184)), (at(-3), at(0))]
    late = [(at(-494), at(-184)), (at(-60), at(0)), (at(-3), at(-3))]
    assert note([1.0] * 4, -60) == late
    lake.close()
