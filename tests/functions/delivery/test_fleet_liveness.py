from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from functions.delivery.fleet_liveness import LivenessCounts, count_fleet, judge
from functions.engine.window import Window
from storage.model.grid import HORIZON_STEPS, STEP
from tests.functions.delivery.memory_lakes import memory_lake, put
from tests.functions.delivery.messages import NOW


@pytest.mark.parametrize(
    ("counts", "holds", "words"),
    [
        ((0, 0, 0, 0, 0), False, "no server has the history that a forecast needs yet"),
        ((100, 95, 0, 0, 0), True, "95 of 100 servers have a fresh forecast; too few scores yet"),
        ((100, 94, 0, 0, 0), False, "only 94 of 100 servers have a fresh forecast"),
        ((20, 20, 4000, 5000, 72), True, "the 80 % band held 80 % in 3 days"),
        ((20, 20, 3400, 5000, 72), False, "held 68 % in 3 days (expected 70 to 90 %)"),
        ((20, 20, 4600, 5000, 72), False, "held 92 % in 3 days (expected 70 to 90 %)"),
        ((20, 20, 10, 5000, 23), True, "too few scores yet to judge calibration"),
        ((20, 20, 10, 1999, 72), True, "too few scores yet to judge calibration"),
        ((20, 1, 4000, 5000, 72), False, "only 1 of 20"),
    ],
)
def test_the_fleet_is_alive_while_it_is_forecast_and_calibration_holds_or_is_unknown(
    counts: tuple[int, ...], holds: bool, words: str
) -> None:
    liveness = judge(LivenessCounts(*counts))
    assert liveness.holds == holds
    assert words in liveness.why


def steps(server: str, count: int) -> list[dict[str, Any]]:
    first = NOW.replace(second=0)
    return [
        {"server": server, "ts": first - (i + 1) * STEP, "mem_used_pct_mean": 50.0}
        for i in range(count)
    ]


def forecast(server: str, minutes_ago: int, values: bool = True) -> dict[str, Any]:
    issued_at = NOW - timedelta(minutes=minutes_ago)
    curve = [50.0] * HORIZON_STEPS if values else None
    return {"server": server, "metric": "mem_used_pct", "issued_at": issued_at,
            "made_at": issued_at, "state": "ok", "p50": curve}  # fmt: skip


def test_servers_with_a_history_count_and_those_with_a_forecast_of_now_are_fresh(
    tmp_path: Path,
) -> None:
    names = {"fresh": 120, "old": 120, "abstained": 120, "new": 3}
    score = {"server": "fresh", "metric": "mem_used_pct", "bucket": 60, "model": "m",
             "moving": 12, "inside_80": 9}  # fmt: skip
    with memory_lake(tmp_path) as lake:
        put(lake, "metrics_5m", [row for name, n in names.items() for row in steps(name, n)])
        put(lake, "forecasts", [
            forecast("fresh", 5), forecast("old", 40), forecast("abstained", 5, values=False),
            forecast("new", 5),
        ])  # fmt: skip
        put(lake, "scores", [score | {"ts": NOW - timedelta(hours=h)} for h in (2, 3, 90)])
        assert count_fleet(Window(lake.reader, NOW)) == LivenessCounts(3, 1, 18, 24, 2)
