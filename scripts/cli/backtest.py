"""Backtest: the served forecast and four naive ones, scored on the same targets of a history.

Forecasts start from origins 8 h apart, as many as there are or as are wanted, from the newest back.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from functions.engine.forecaster import Forecaster
from functions.forecast import predict
from functions.normalize.history_files import LoadedHistory
from functions.rules.evaluation.baselines import (
    CONTEXT_QUANTILES,
    HOUR_MEAN,
    LAST_VALUE,
    SEASONAL,
    baselines,
)
from functions.rules.evaluation.scoring import (
    Array,
    Forecasting,
    Score,
    SeriesScores,
    Tally,
    comparable,
    held_out_windows,
    relative,
    summed,
    tally,
)
from scripts.cli.output import format_time
from storage.model.grid import CONTEXT_STEPS, HORIZON_STEPS, LEAD_MINUTES, QUANTILES, STEP_MINUTES
from storage.model.metrics import METRIC_NAMES
from storage.query.history import WINDOW_STEPS, History, HistoryError

__all__ = [
    "FORECASTS", "LEADS", "SERVED", "Backtest", "as_json", "backtest", "lead_name", "served",
    "verdict",
]  # fmt: skip

SERVED = "served"
FORECASTS = (SERVED, SEASONAL, LAST_VALUE, HOUR_MEAN, CONTEXT_QUANTILES)
LEADS: tuple[int | None, ...] = (*range(len(LEAD_MINUTES)), None)  # None is the whole horizon
SERVERS_AT_ONCE = 16  # of each, `origins` windows and five forecasts of them are in memory
_MONDAY = datetime(1970, 1, 5, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Backtest:
    """A tally for each forecast, of the same targets, server by server."""

    model: str
    path: Path
    history: History  # from the context of the first origin to the last target
    origins: int
    tallies: Mapping[str, Tally]
    abstained: int  # targets that could have been scored and have no forecast

    def scores(self, forecast: str, lead: int | None = None) -> SeriesScores:
        """Return scores by server and metric, over the horizon or in one bucket of LEAD_MINUTES."""
        return relative(self.tallies[forecast], self.tallies[SEASONAL], self.origins, lead=lead)

    def score(self, forecast: str, metric: str | None = None, lead: int | None = None) -> Score:
        """Return the score over all series, or over those of one metric."""
        places = None if metric is None else [METRIC_NAMES.index(metric)]
        return self.scores(forecast, lead).over(places)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics of which at least one series could be scored."""
        loss = self.scores(SERVED).loss  # [S, 14]
        return tuple(n for i, n in enumerate(METRIC_NAMES) if not np.isnan(loss[:, i]).all())

    @property
    def scored(self) -> int:
        """The number of values that were compared with their forecasts."""
        return int(self.tallies[SERVED].count.sum())

    @property
    def loses(self) -> bool:
        """True if the value 24 h before or the last value has the smaller loss over all series."""
        naive = min(self.score(name).loss for name in (SEASONAL, LAST_VALUE))
        return self.score(SERVED).loss > naive


def served(forecaster: Forecaster) -> Forecasting:
    """Return the forecast that users get, in the form of a baseline."""

    def forecast(context: Array, clock: Array, profile: NDArray[np.int64]) -> Array:
        shape = (len(context), HORIZON_STEPS, len(METRIC_NAMES), len(QUANTILES))
        quantiles = np.empty(shape, np.float32)
        for minute in np.unique(clock):  # servers of one origin start together
            rows = clock == minute
            start = _MONDAY + timedelta(minutes=float(minute))
            quantiles[rows] = predict(forecaster, context[rows], start, profile[rows]).quantiles
        return quantiles

    return forecast


def backtest(
    history: History,
    forecaster: Forecaster,
    origins: int,
    done: Callable[[int], Any] = lambda _: None,
) -> Backtest:
    """Forecast from up to `origins` origins and score; `done` gets the size of each finished part.

    Raises HistoryError when the history is too short, or when nothing in it can be compared.
    """
    origins = min(origins, _origins_in(history))
    history = history.last(CONTEXT_STEPS + origins * HORIZON_STEPS)
    candidates = {SERVED: served(forecaster), **baselines()}
    parts: dict[str, list[Tally]] = {name: [] for name in candidates}
    abstained = 0
    for first in range(0, len(history.servers), SERVERS_AT_ONCE):
        rows = range(first, min(first + SERVERS_AT_ONCE, len(history.servers)))
        windows = held_out_windows(history.only(rows), origins=origins)
        forecasts = {
            name: forecast(windows.context, windows.week_minute, windows.profile)
            for name, forecast in candidates.items()
        }
        known = comparable(windows, *forecasts.values())
        abstained += int(comparable(windows).sum() - known.sum())
        for name, forecast in forecasts.items():
            parts[name].append(tally(forecast, windows, known))
        done(len(rows))
    tallies = {name: summed(of_name) for name, of_name in parts.items()}
    result = Backtest(forecaster.hash, forecaster.path, history, origins, tallies, abstained)
    if not result.metrics:
        raise HistoryError(
            "nothing can be compared: no metric has values that move, 24 h apart, with an hour of "
            "samples before the second one"
        )
    return result


def _origins_in(history: History) -> int:
    spare = history.steps - WINDOW_STEPS
    if spare < 0:
        first, last = history.span
        raise HistoryError(
            f"the history spans {history.steps * STEP_MINUTES / 60:.1f} h, from "
            f"{format_time(first)} to {format_time(last)}; a backtest needs 32 h: 24 h before the "
            "first forecast and the 8 h that it is compared with"
        )
    return spare // HORIZON_STEPS + 1


def lead_name(lead: int | None) -> str:
    """Return the end of a bucket of LEAD_MINUTES as text; None is the whole horizon."""
    if lead is None:
        return "all"
    minutes = LEAD_MINUTES[lead]
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h"


def verdict(result: Backtest) -> str:
    """Return one sentence: whether the served forecast beats the naive ones, and by what losses."""
    ours, last = result.score(SERVED).loss, result.score(LAST_VALUE).loss
    losses = f"loss {ours:.3f} against 1 (the value 24 h before) and {last:.3f} (the last value)"
    if result.loses:
        return f"The served forecast loses to a naive one: {losses}."
    return f"The served forecast is better than both naive ones: {losses}."


def as_json(result: Backtest, loaded: LoadedHistory) -> dict[str, Any]:
    """Return all scores as JSON values; `metric` and `lead_minutes` are null for all together."""
    first, last = result.history.span
    return {
        "model": {"hash": result.model, "path": str(result.path)},
        "history": {
            "from": format_time(first),
            "to": format_time(last),
            "servers": list(result.history.servers),
            "ignored_columns": list(loaded.ignored),
            "refused": loaded.refused,
            "reasons": list(loaded.reasons),
        },
        "origins": result.origins,
        "targets": {"scored": result.scored, "abstained": result.abstained},
        "loses_to_naive": result.loses,
        "scores": [
            {
                "forecast": name,
                "metric": metric,
                "lead_minutes": None if lead is None else LEAD_MINUTES[lead],
                **_numbers(result.score(name, metric, lead)),
            }
            for metric in (*result.metrics, None)
            for lead in LEADS
            for name in FORECASTS
        ],
    }


def _numbers(score: Score) -> dict[str, float | None]:
    numbers = {
        "loss": score.loss,
        "median": score.error,
        "inside_80": score.inside,
        "inside_96": score.inside_96,
    }
    rounded = {key: None if math.isnan(x) else round(x, 4) for key, x in numbers.items()}
    return {**rounded, "series": score.series}
