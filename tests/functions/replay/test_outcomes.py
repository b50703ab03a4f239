import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from functions.replay.outcomes import (
    LEVELLED,
    SeriesNames,
    level_breaches,
    levels_of,
    warnings_of_episodes,
    warnings_of_states,
    with_possible,
)
from functions.replay.replay import rollups
from functions.rules.evaluation.warning_quality import warning_quality
from storage.config.folders import Folders
from storage.model.metrics import METRIC_NAMES
from storage.model.schema import table
from storage.query.history import History
from storage.query.memory_lake import MemoryLake

START = datetime(2026, 5, 6, tzinfo=UTC)
MEMORY, IDLE = METRIC_NAMES.index("mem_used_pct"), METRIC_NAMES.index("cpu_idle_pct")


def history() -> History:
    values = np.full((2, 60, 14), np.nan, np.float32)
    values[:, :, MEMORY] = 50
    values[1, 30:34, MEMORY] = 98
    values[:, :, IDLE] = 50
    values[0, 10:13, IDLE] = 2
    return History(("a", "b"), np.array([6, 6]), int(START.timestamp()), values)


def event(episode: str, minute: int, phase: str, **others: Any) -> dict[str, Any]:
    ts = START + timedelta(minutes=minute)
    row = {"episode": episode, "ts": ts, "event": "changed", "phase": phase, "server": "b",
           "metric": "mem_used_pct", "rule": "breach"}  # fmt: skip
    return row | others


def events(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), table("alert_events").arrow)


def test_breaches_are_of_the_critical_level_high_or_low() -> None:
    known = level_breaches(history(), levels_of(history(), None)[1])
    assert known.servers.tolist() == [0, 1]
    assert known.metrics.tolist() == [IDLE, MEMORY]
    assert known.started.tolist() == [50.0, 150.0]
    assert known.ended.tolist() == [65.0, 170.0]


def test_load_is_judged_per_core_where_these_are_known() -> None:
    load = LEVELLED.index(METRIC_NAMES.index("load_average"))
    critical = levels_of(history(), [2, None])[1]
    assert critical[:, load].tolist() == [4.0, 12.0]


def test_the_possible_lead_counts_from_the_start_of_what_caused_the_breach() -> None:
    known = level_breaches(history(), levels_of(history(), None)[1])
    causes = {(1, MEMORY): [(20.0, 400.0), (100.0, 300.0), (160.0, 300.0)], (0, IDLE): [(0.0, 9.0)]}
    possible = with_possible(known, causes).possible
    assert math.isnan(possible[0])
    assert possible[1] == 50.0


def test_a_state_is_a_warning_from_the_end_of_its_first_step() -> None:
    state = np.zeros((4, 6), bool)
    state[3, 2:4] = state[0, 5] = True
    warnings = warnings_of_states(state, (IDLE, MEMORY))
    assert warnings.servers.tolist() == [0, 1]
    assert warnings.metrics.tolist() == [IDLE, MEMORY]
    assert warnings.opened.tolist() == [30.0, 15.0]
    assert warnings.closed.tolist() == [math.inf, 25.0]


def test_an_episode_is_a_warning_if_it_began_as_a_prediction() -> None:
    rows = events(
        event("right", 10, "predicted"), event("right", 60, "breached"), event("right", 90, "over"),
        event("late", 10, "breached"), event("averted", 20, "predicted"),
        event("averted", 50, "averted"), event("open", 30, "predicted"),
        event("silent", 30, "no data", metric=None), event("other", 5, "predicted", rule="mine"),
    )  # fmt: skip
    warnings = warnings_of_episodes(rows, SeriesNames.of(history()), {"breach"})
    assert warnings.opened.tolist() == [10.0, 20.0, 30.0]
    assert warnings.closed.tolist() == [90.0, 50.0, math.inf]
    assert warnings.averted.tolist() == [False, True, False]
    assert len(warnings_of_episodes(rows, SeriesNames.of(history())).opened) == 4


def test_the_scorecard_agrees_with_the_view_alert_quality(tmp_path) -> None:
    breached_at = START + timedelta(minutes=150)  # when memory of `b` does
    rows = events(
        event("right", 60, "predicted"),
        event("right", 165, "breached", breached_at=breached_at),
        event("right", 260, "over", breached_at=breached_at),
        event("false", 60, "predicted", server="a"),
        event("false", 120, "withdrawn", server="a"),
        event("averted", 200, "predicted", server="a"),
        event("averted", 230, "averted", server="a"),
        event("missed", 65, "breached", server="a", metric="cpu_idle_pct",
              breached_at=START + timedelta(minutes=50)),
    )  # fmt: skip
    lake = MemoryLake(Folders.at(tmp_path))
    lake.put("alert_events", rows)
    lake.put("metrics_5m", rollups(history(), range(60)))
    lake.at(START + timedelta(hours=20))
    view = lake.reader.query("SELECT * FROM alert_quality").to_pylist()[0]
    card = warning_quality(
        warnings_of_episodes(rows, SeriesNames.of(history())),
        level_breaches(history(), levels_of(history(), None)[1]), (0.0, 1200.0), 2,
    )  # fmt: skip
    assert card.right == view["correct"] == 1
    assert card.false == view["wrong"] + view["withdrawn"] == 1
    assert (card.averted, card.missed) == (view["averted"], view["missed"]) == (1, 1)
    assert card.precision == view["precision"] == 0.5
    assert card.lead_median == view["median_lead_minutes"] == 90
    lake.close()
