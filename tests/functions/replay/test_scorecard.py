import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from functions.replay.scorecard import Scorecard, scorecard
from storage.config.folders import Folders
from storage.model.metrics import METRIC_NAMES
from storage.model.schema import table
from storage.query.history import History
from storage.query.memory_lake import MemoryLake

START = datetime(2026, 5, 6, tzinfo=UTC)
STEPS = 400
MEMORY = METRIC_NAMES.index("mem_used_pct")


def history() -> History:
    """Memory of `a` breaches at step 200."""
    values = np.full((2, STEPS, 14), np.nan, np.float32)
    values[:, :, MEMORY] = 50 + np.arange(STEPS) % 7
    values[0, 200:206, MEMORY] = 99
    return History(("a", "b"), np.array([6, 6]), int(START.timestamp()), values)


INSIDE = [f"inside_{level}{kind}" for level in (50, 80, 96) for kind in ("", "_model")]


def at(step: int) -> datetime:
    return START + timedelta(minutes=5 * step)


def score(server: str, metric: str, hour: int, loss: float, inside: int) -> dict[str, Any]:
    counted = {} if metric != "uptime_days" else dict.fromkeys(("moving", *INSIDE), 0)
    return {
        "server": server, "metric": metric, "bucket": 60, "ts": START + timedelta(hours=hour),
        "model": "m", "targets": 12, "loss": loss, "loss_model": 2 * loss, "error": loss,
        "error_naive": 20.0, "error_seasonal": 10.0, "moving": 10, "inside_50": inside,
        "inside_80": inside, "inside_96": inside, "inside_50_model": 5, "inside_80_model": 5,
        "inside_96_model": 5,
    } | counted  # fmt: skip


def odds(server: str, step: int, p: float) -> dict[str, Any]:
    leads = {f"p_{lead}m": p for lead in (30, 60, 120, 240, 480)}
    return {"server": server, "metric": "mem_used_pct", "issued_at": at(step)} | leads


def event(episode: str, step: int, phase: str) -> dict[str, Any]:
    return {"episode": episode, "ts": at(step), "event": phase, "phase": phase, "server": "a",
            "metric": "mem_used_pct", "rule": "breach"}  # fmt: skip


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scorecard]:
    lake = MemoryLake(Folders.at(tmp_path_factory.mktemp("none")))
    rows = {
        "scores": [score("a", "mem_used_pct", 3, 4.0, 8), score("b", "mem_used_pct", 9, 1.0, 9),
                   score("a", "cpu_idle_pct", 3, 10.0, 8), score("a", "uptime_days", 3, 0.01, 8)],
        "odds": [odds("a", step, 0.9 if 110 < step < 200 else 0.0) for step in range(24, 400, 3)],
        "alert_events": [event("x", 180, "predicted"), event("x", 201, "breached"),
                         event("x", 230, "over")],
        "race": [{"server": "a", "metric": "m", "bucket": 60, "ts": START, "model": "m",
                  "weight_model": 0.8, "weight_context": 0.2, "weight_seasonal": 0.0,
                  "weight_last": 0.0}],
    }  # fmt: skip
    for name, each in rows.items():
        lake.put(name, pa.Table.from_pylist(each, table(name).arrow))
    yield scorecard(lake.reader, history(), None, 25)
    lake.close()


def test_loss_is_relative_to_the_value_of_the_day_before(card: Scorecard) -> None:
    cpu, memory, uptime, whole = card.accuracy
    assert (memory.metric, memory.targets, memory.loss) == ("mem_used_pct", 24, 0.25)
    assert (memory.loss_model, memory.error_naive) == (0.5, 2.0)
    assert (cpu.loss, round(uptime.loss, 6)) == (1.0, 0.001)
    assert whole.metric is None
    assert whole.loss == pytest.approx(math.sqrt(0.25 * 1.0))  # without the uptime


def test_bands_have_their_share_before_and_after_with_intervals_of_blocks(card: Scorecard) -> None:
    band = card.coverage[1]
    assert (band.level, band.targets, band.blocks) == (80, 30, 2)
    assert band.before == (0.5, 0.5, 0.5)
    assert np.allclose(band.after, (25 / 30, 0.8, 0.9))
    assert np.allclose(band.spread, (0.0, float(np.std([0.8, 0.9, 0.8]))))
    assert card.settled == at(25)


def test_odds_are_checked_against_what_came_outside_of_breaches(card: Scorecard) -> None:
    whole = card.odds[-1]
    assert whole.lead_minutes == 480
    assert whole.reliability.base_rate > 0.1
    assert whole.reliability.ece < 0.1
    assert card.odds[0].reliability.ece > 0.1  # 0.9 within half an hour is said for 7 hours


def test_warnings_and_the_shares_of_the_race_are_there(card: Scorecard) -> None:
    assert (card.warnings.right, card.warnings.lead_median) == (1, 100.0)
    assert card.served == {"model": pytest.approx(0.8), "context": pytest.approx(0.2),
                           "seasonal": 0.0, "last": 0.0}  # fmt: skip
    json.dumps(card.as_json(), allow_nan=False)
