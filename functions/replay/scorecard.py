"""Scorecard of a replay: forecasts, bands, odds and warnings, from the rows that were written.

Intervals are of blocks (a server and 8 hours), never of rows: 96 forecasts of one target time are
one case.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from functions.replay.outcomes import (
    SeriesNames,
    level_breaches,
    levels_of,
    odds_grid,
    signed,
    warnings_of_episodes,
)
from functions.rules.defaults import CANDIDATES
from functions.rules.evaluation.warning_quality import WarningQuality, warning_quality
from functions.rules.odds.cases import Issued, cases_of
from functions.rules.odds.reliability import Reliability, reliability
from storage.model.grid import BAND_LEVELS, LEAD_MINUTES, STEP, STEP_MINUTES
from storage.model.metrics import METRICS
from storage.query.history import STEP_S, History
from storage.query.reader import Reader

__all__ = ["Accuracy", "Coverage", "OddsCheck", "Scorecard", "scorecard"]

MARK_STEPS = 15 // STEP_MINUTES  # small odds are written every quarter of an hour
RESAMPLES = 400
SETTLES = 3.0  # days: of a longer replay bands are counted from the third on
COUNTERS = frozenset(metric.name for metric in METRICS if metric.kind == "counter")
_SEED = 20_260_506

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Loss and median error of one metric against the value of 24 h before, which is 1.

    `loss_model` is that of the model alone. `metric` is None for all: the geometric mean, without
    the uptime, which anybody can foretell.
    """

    metric: str | None
    targets: int
    loss: float
    loss_model: float
    error: float
    error_naive: float  # of the last value


@dataclass(frozen=True, slots=True)
class Coverage:
    """Share of targets inside a band, before and after calibration, each with its 95 % interval.

    `spread` is the standard deviation of the shares of single series, before and after.
    """

    level: int
    targets: int
    blocks: int
    before: tuple[float, float, float]
    after: tuple[float, float, float]
    spread: tuple[float, float]


@dataclass(frozen=True, slots=True)
class OddsCheck:
    """How true the odds of a breach within `lead_minutes` came."""

    lead_minutes: int
    cases: int
    reliability: Reliability


@dataclass(frozen=True, slots=True)
class Scorecard:
    """What a replay showed."""

    servers: int
    settled: datetime  # bands are counted from here: the third day, if there are so many
    accuracy: tuple[Accuracy, ...]
    coverage: tuple[Coverage, ...]
    odds: tuple[OddsCheck, ...]
    warnings: WarningQuality
    served: dict[str, float]  # share of each candidate of the race in what is served

    def as_json(self) -> dict[str, Any]:
        """Return the numbers, with None where there is nothing to divide by."""
        return {
            "servers": self.servers,
            "settled": self.settled.isoformat(),
            "accuracy": [_fields(each) for each in self.accuracy],
            "coverage": [_fields(each) for each in self.coverage],
            "odds": [
                {"lead_minutes": each.lead_minutes, "cases": each.cases,
                 **_fields(each.reliability), "skill": _plain(each.reliability.skill)}
                for each in self.odds
            ],
            "warnings": self.warnings.as_json(),
            "served": self.served,
        }  # fmt: skip


def scorecard(
    reader: Reader, history: History, cores: Sequence[int | None] | None, first_step: int
) -> Scorecard:
    """Return the scorecard of a replay of `history`, judged from `first_step` on."""
    _, critical = levels_of(history, cores)
    span = (float(first_step * STEP_MINUTES), float(history.steps * STEP_MINUTES))
    events = reader.query("SELECT * FROM alert_events")
    days = (history.steps - first_step) * STEP / timedelta(days=1)
    settled = history.span[0] + first_step * STEP + timedelta(days=2 if days > SETTLES else 0)
    return Scorecard(
        servers=len(history.servers),
        settled=settled,
        accuracy=_accuracy(reader),
        coverage=_coverage(reader, settled),
        odds=_odds_checks(reader, history, cores, first_step),
        warnings=warning_quality(
            warnings_of_episodes(events, SeriesNames.of(history)),
            level_breaches(history, critical), span, len(history.servers),
        ),
        served=_served(reader),
    )  # fmt: skip


def _accuracy(reader: Reader) -> tuple[Accuracy, ...]:
    rows = reader.query(
        "SELECT metric, sum(targets) AS targets, sum(loss) AS loss, "
        "sum(loss_model) AS loss_model, sum(error) AS error, sum(error_naive) AS error_naive, "
        "sum(error_seasonal) AS error_seasonal FROM scores GROUP BY metric "
        "HAVING sum(error_seasonal) > 0 ORDER BY metric"
    ).to_pylist()
    each = [
        Accuracy(
            row["metric"], int(row["targets"]),
            *(row[name] / row["error_seasonal"]
              for name in ("loss", "loss_model", "error", "error_naive")),
        )
        for row in rows
    ]  # fmt: skip
    if not each:
        return ()
    names = ("loss", "loss_model", "error", "error_naive")
    hard = [one for one in each if one.metric not in COUNTERS]
    means = (_geometric([getattr(one, name) for one in hard]) for name in names)
    return (*each, Accuracy(None, sum(one.targets for one in each), *means))


def _geometric(values: Sequence[float]) -> float:
    known = [math.log(value) for value in values if value > 0]
    return math.exp(sum(known) / len(known)) if known else math.nan


def _coverage(reader: Reader, since: datetime) -> tuple[Coverage, ...]:
    """Shares over all metrics but the uptime; each block is a server and 8 hours."""
    blocks = _inside(reader, since, "server, time_bucket(INTERVAL 8 HOUR, ts)")
    series = _inside(reader, since, "server, metric")
    moving = blocks["moving"].to_numpy()
    if not len(moving):
        return ()
    return tuple(
        Coverage(
            level, int(moving.sum()), len(moving),
            _interval(blocks[f"inside_{level}_model"].to_numpy(), moving),
            _interval(blocks[f"inside_{level}"].to_numpy(), moving),
            (_spread(series, f"inside_{level}_model"), _spread(series, f"inside_{level}")),
        )
        for level in BAND_LEVELS
    )  # fmt: skip


def _inside(reader: Reader, since: datetime, parts: str) -> pa.Table:
    columns = ", ".join(
        f"sum(inside_{level}{kind})::DOUBLE AS inside_{level}{kind}"
        for level in BAND_LEVELS for kind in ("", "_model")
    )  # fmt: skip
    return reader.query(
        f"SELECT sum(moving)::DOUBLE AS moving, {columns} FROM scores WHERE ts >= $since "
        f"GROUP BY {parts} HAVING sum(moving) > 0 ORDER BY ALL",
        since=since,
    )  # fmt: skip


def _spread(series: pa.Table, column: str) -> float:
    return float(np.std(series[column].to_numpy() / series["moving"].to_numpy()))


def _interval(inside: Floats, moving: Floats) -> tuple[float, float, float]:
    """The share and its 95 % interval, by drawing blocks again."""
    rng = np.random.default_rng(_SEED)
    drawn = rng.integers(len(moving), size=(RESAMPLES, len(moving)))
    shares = inside[drawn].sum(1) / moving[drawn].sum(1)
    low, high = np.quantile(shares, (0.025, 0.975))
    return float(inside.sum() / moving.sum()), float(low), float(high)


def _odds_checks(
    reader: Reader, history: History, cores: Sequence[int | None] | None, first_step: int
) -> tuple[OddsCheck, ...]:
    """How the odds of each quarter of an hour came true, outside of breaches."""
    said = odds_grid(reader, history)  # [servers, levelled, steps, leads]
    origins = np.arange(first_step, history.steps)
    origins = origins[(history.start_s // STEP_S + origins) % MARK_STEPS == 0]
    if not len(origins) or np.isnan(said).all():
        return ()
    warn, critical = levels_of(history, cores)
    issued = said[:, :, origins - 1].transpose(0, 2, 1, 3)  # as of the end of the step before
    weight = np.ones(issued.shape[:3])
    values = signed(history).transpose(0, 2, 1)
    cases = cases_of(values, critical, warn, Issued(origins, issued, issued, weight))
    checks = []
    for i, lead in enumerate(LEAD_MINUTES):
        known = ~np.isnan(cases.came[:, i]) & ~np.isnan(cases.raw[:, i])
        if known.any():
            said_then, came = cases.raw[known, i], cases.came[known, i]
            result = reliability(said_then, came, cases.weight[known], cases.block[known])
            checks.append(OddsCheck(lead, int(known.sum()), result))
    return tuple(checks)


def _served(reader: Reader) -> dict[str, float]:
    columns = ", ".join(f"avg(weight_{name}) AS {name}" for name in CANDIDATES)
    row = reader.query(f"SELECT {columns} FROM race").to_pylist()[0]
    return {name: row[name] for name in CANDIDATES if row[name] is not None}


def _fields(each: Any) -> dict[str, Any]:
    return {name: _plain(getattr(each, name)) for name in type(each).__slots__}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return [_plain(float(number)) for number in value]
    if isinstance(value, tuple):
        return [_plain(number) for number in value]
    return None if isinstance(value, float) and math.isnan(value) else value
