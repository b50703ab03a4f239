"""`hoursight backtest`: what the served forecast would have been worth on a history.

From origins 8 h apart, as far back as is asked for, each server is forecast as it would have been
then, and so it is by four forecasts that cost nothing. All are scored on the same targets.
"""

import json
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from functions.engine.forecaster import SHIPPED, Forecaster, ModelUnusable
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
from scripts.cli.history_reading import read_history
from scripts.cli.output import moment, print_grid
from storage.config.folders import Folders
from storage.model.grid import CONTEXT_STEPS, HORIZON_STEPS, LEAD_MINUTES, QUANTILES, STEP_MINUTES
from storage.model.metrics import METRIC_NAMES
from storage.query.history import (
    WINDOW_STEPS,
    History,
    HistoryError,
    from_lake,
)
from storage.query.reader import LakeMissing, LakeUnreadable, Reader

__all__ = [
    "FORECASTS",
    "SERVED",
    "Backtest",
    "BacktestOptions",
    "backtest",
    "command",
    "lead_name",
    "served",
]

SERVED = "served"
FORECASTS = (SERVED, SEASONAL, LAST_VALUE, HOUR_MEAN, CONTEXT_QUANTILES)
SERVERS_AT_ONCE = 16  # of each, `origins` windows and five forecasts of them are in memory
_MONDAY = datetime(1970, 1, 5, tzinfo=UTC)

Say = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class BacktestOptions:
    """What the command was asked for."""

    data: Path
    files: tuple[Path, ...] = ()
    lake: bool = False
    model: Path | None = None
    origins: int = 14
    servers: str | None = None
    time_format: str = "iso"
    time_zone: str | None = None
    json_file: Path | None = None
    html_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Backtest:
    """How the forecasts fared: a tally each, of the same targets, server by server."""

    model: str
    path: Path
    history: History  # what was looked at: the context of the first origin, to the last target
    origins: int
    tallies: Mapping[str, Tally]
    abstained: int  # targets that could have been scored, had there been a forecast

    def scores(self, forecast: str, lead: int | None = None) -> SeriesScores:
        """Of each server and metric, over the horizon or in one bucket of LEAD_MINUTES."""
        return relative(self.tallies[forecast], self.tallies[SEASONAL], self.origins, lead=lead)

    def score(self, forecast: str, metric: str | None = None, lead: int | None = None) -> Score:
        """Of all series, or of one metric's."""
        places = None if metric is None else [METRIC_NAMES.index(metric)]
        return self.scores(forecast, lead).over(places)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics on which something could be scored."""
        loss = self.scores(SERVED).loss  # [S, 14]
        return tuple(n for i, n in enumerate(METRIC_NAMES) if not np.isnan(loss[:, i]).all())

    @property
    def scored(self) -> int:
        """How many values were compared with their forecasts."""
        return int(self.tallies[SERVED].count.sum())

    @property
    def loses(self) -> bool:
        """Whether, over all, the value 24 h before or the last value has the smaller loss."""
        naive = min(self.score(name).loss for name in (SEASONAL, LAST_VALUE))
        return self.score(SERVED).loss > naive


def served(forecaster: Forecaster) -> Forecasting:
    """The forecast that users get, in the form of a baseline."""

    def forecast(context: Array, clock: Array, profile: NDArray[np.int64]) -> Array:
        shape = (len(context), HORIZON_STEPS, len(METRIC_NAMES), len(QUANTILES))
        answer = np.empty(shape, np.float32)
        for minute in np.unique(clock):  # servers of one origin start together
            rows = clock == minute
            start = _MONDAY + timedelta(minutes=float(minute))
            answer[rows] = predict(forecaster, context[rows], start, profile[rows]).quantiles
        return answer

    return forecast


def backtest(
    history: History,
    forecaster: Forecaster,
    origins: int,
    done: Callable[[int], Any] = lambda _: None,
) -> Backtest:
    """Forecast from up to `origins` origins; `done` is told how many servers are.

    Raises HistoryError when the history is too short, or nothing in it can be compared.
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
    found = Backtest(forecaster.hash, forecaster.path, history, origins, tallies, abstained)
    if not found.metrics:
        raise HistoryError(
            "nothing can be compared: no metric has values that move, 24 h apart, with an hour of "
            "readings before the second one"
        )
    return found


def _origins_in(history: History) -> int:
    spare = history.steps - WINDOW_STEPS
    if spare < 0:
        first, last = history.span
        raise HistoryError(
            f"the history spans {history.steps * STEP_MINUTES / 60:.1f} h, from {moment(first)} to "
            f"{moment(last)}; a backtest needs 32 h: 24 h before the first forecast and the 8 h "
            "that it is compared with"
        )
    return spare // HORIZON_STEPS + 1


def command(asked: BacktestOptions, say: Say) -> int:
    """Run and tell; 0 when the served forecast is worth having, 1 when naive is better, 2 when
    the input is none.
    """
    try:
        _check(asked)
        forecaster = Forecaster.open(asked.model or Folders.at(asked.data).own_model or SHIPPED)
        loaded = _loaded(asked)
        history = _chosen(loaded.history, asked.servers)
        with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
            task = progress.add_task("Forecasting", total=len(history.servers))
            found = backtest(
                history, forecaster, asked.origins, lambda n: progress.advance(task, n)
            )
    except (HistoryError, ModelUnusable, LakeMissing, LakeUnreadable) as error:
        say(f"hoursight: {error}", err=True)
        return 2
    _tell(found, loaded, asked, say)
    _write(found, forecaster, loaded, asked, say)
    return 1 if found.loses else 0


def _check(asked: BacktestOptions) -> None:
    if asked.lake == bool(asked.files):
        raise HistoryError("name files, or --lake for the history in the data folder; one of both")
    for path in (asked.json_file, asked.html_file):
        if path is not None and not path.absolute().parent.is_dir():
            raise HistoryError(f"{path}: there is no folder {path.absolute().parent}; make it")


def _loaded(asked: BacktestOptions) -> LoadedHistory:
    if asked.files:
        return read_history(asked.data, asked.files, asked.time_format, asked.time_zone)
    reader = Reader.open(asked.data)
    try:
        steps = CONTEXT_STEPS + asked.origins * HORIZON_STEPS
        return LoadedHistory(from_lake(reader, steps), (), 0, ())
    finally:
        reader.close()


def _chosen(history: History, servers: str | None) -> History:
    """The servers that one of the comma-separated patterns fits."""
    patterns = [p.strip() for p in (servers or "*").split(",") if p.strip()]
    rows = [i for i, s in enumerate(history.servers) if any(fnmatchcase(s, p) for p in patterns)]
    if not rows:
        known = ", ".join(history.servers[:10]) + (", …" if len(history.servers) > 10 else "")
        raise HistoryError(f"--servers {servers!r}: no server is called so; there are {known}")
    return history.only(rows)


def _tell(found: Backtest, loaded: LoadedHistory, asked: BacktestOptions, say: Say) -> None:
    first, last = found.history.span
    say(
        f"model {found.model} on {len(found.history.servers)} servers, {moment(first)} to "
        f"{moment(last)}: {found.origins} origins 8 h apart"
        + (f" (there is no history for {asked.origins})" if found.origins < asked.origins else "")
    )
    if loaded.ignored:
        say(f"columns that are no metric, ignored: {', '.join(loaded.ignored)}")
    if loaded.refused:
        say(f"refused: {loaded.refused} rows and values")
    for reason in loaded.reasons:
        say(f"  {reason}")
    if found.abstained:
        share = found.abstained / (found.abstained + found.scored)
        say(f"no forecast for {share:.1%} of what could be compared: too little history before it")
    say(
        "\nWeighted quantile loss (.1 .5 .9); 1 is the value 24 h before. "
        "'median' is its absolute error, told the same way.\n"
    )
    print_grid(
        [
            "metric",
            "lead",
            *(n for n in FORECASTS if n != SEASONAL),
            "median",
            "in 80 %",
            "in 96 %",
        ],
        [_row(found, metric, lead) for metric in (*found.metrics, None) for lead in _LEADS],
    )
    say("\n" + verdict(found))


_LEADS = (*range(len(LEAD_MINUTES)), None)


def _row(found: Backtest, metric: str | None, lead: int | None) -> list[str]:
    told = found.score(SERVED, metric, lead)
    others = (found.score(n, metric, lead).loss for n in FORECASTS if n not in (SERVED, SEASONAL))
    numbers = (told.loss, *others, told.error, told.inside, told.inside_96)
    name = (metric or "all metrics") if lead == 0 else ""
    return [name, lead_name(lead), *("–" if math.isnan(n) else f"{n:.3f}" for n in numbers)]


def lead_name(lead: int | None) -> str:
    """How far ahead a bucket of LEAD_MINUTES reaches; None is the whole horizon."""
    if lead is None:
        return "all"
    minutes = LEAD_MINUTES[lead]
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h"


def verdict(found: Backtest) -> str:
    """One sentence: does it pay to listen to the served forecast."""
    ours, last = found.score(SERVED).loss, found.score(LAST_VALUE).loss
    told = f"loss {ours:.3f} against 1 (the value 24 h before) and {last:.3f} (the last value)"
    if found.loses:
        return f"The served forecast loses to a naive one: {told}."
    return f"The served forecast is better than both naive ones: {told}."


def _write(
    found: Backtest, forecaster: Forecaster, loaded: LoadedHistory, asked: BacktestOptions, say: Say
) -> None:
    if asked.json_file:
        asked.json_file.write_text(json.dumps(as_json(found, loaded), indent=1) + "\n")
        say(f"wrote {asked.json_file}")
    if asked.html_file:
        from scripts.cli.backtest_report import page  # it is written by means of this module

        asked.html_file.write_text(page(found, served(forecaster), loaded))
        say(f"wrote {asked.html_file}")


def as_json(found: Backtest, loaded: LoadedHistory) -> dict[str, Any]:
    """All that was found, as JSON values; `metric` and `lead_minutes` are null for all together."""
    first, last = found.history.span
    return {
        "model": {"hash": found.model, "path": str(found.path)},
        "history": {
            "from": moment(first),
            "to": moment(last),
            "servers": list(found.history.servers),
            "ignored_columns": list(loaded.ignored),
            "refused": loaded.refused,
            "reasons": list(loaded.reasons),
        },
        "origins": found.origins,
        "targets": {"scored": found.scored, "abstained": found.abstained},
        "loses_to_naive": found.loses,
        "scores": [
            {
                "forecast": name,
                "metric": metric,
                "lead_minutes": None if lead is None else LEAD_MINUTES[lead],
                **_numbers(found.score(name, metric, lead)),
            }
            for metric in (*found.metrics, None)
            for lead in _LEADS
            for name in FORECASTS
        ],
    }


def _numbers(score: Score) -> dict[str, float | None]:
    told = {
        "loss": score.loss,
        "median": score.error,
        "inside_80": score.inside,
        "inside_96": score.inside_96,
    }
    plain = {key: None if math.isnan(x) else round(x, 4) for key, x in told.items()}
    return {**plain, "series": score.series}
