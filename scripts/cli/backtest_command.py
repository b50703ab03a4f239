"""`hoursight backtest`: runs the backtest on a history, prints the scores, writes the reports."""

import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from rich.progress import Progress

from functions.engine.forecaster import Forecaster, ModelUnusable
from functions.normalize.history_files import LoadedHistory
from functions.replay.replay import ReplayFailed
from functions.rules.evaluation.baselines import SEASONAL
from scripts.cli.backtest import (
    FORECASTS,
    LEADS,
    SERVED,
    Backtest,
    as_json,
    backtest,
    lead_name,
    served,
    verdict,
)
from scripts.cli.backtest_report import html_report
from scripts.cli.history_reading import read_history
from scripts.cli.loop_backtest import LoopOptions, loop_backtest
from scripts.cli.output import format_time, print_grid
from scripts.cli.printer import console, say_lines
from storage.config.folders import Folders
from storage.model.grid import CONTEXT_STEPS, HORIZON_STEPS
from storage.query.history import History, HistoryError, cores_of, from_lake
from storage.query.reader import LakeMissing, LakeUnreadable, Reader

__all__ = ["BacktestOptions", "command"]

SERVERS_LISTED = 10

Say = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class BacktestOptions:
    """The options of the command."""

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
    loop: bool = False
    days: float = 14.0
    cadence: int = 5


def command(options: BacktestOptions, say: Say) -> int:
    """Run and print; return the exit code.

    0 when the served forecast beats the naive ones, 1 when it loses to one, 2 when the history or
    the model cannot be used.
    """
    try:
        _check(options)
        forecaster = (
            Forecaster.open(options.model)
            if options.model
            else Forecaster.serving(Folders.at(options.data))
        )
        loaded = _loaded(options)
        history = _chosen(loaded.history, options.servers)
        if options.loop:
            return _loop(
                history.last(round(options.days * CONTEXT_STEPS)), forecaster, options, say
            )
        with Progress(console=console(err=True), disable=not sys.stderr.isatty()) as progress:
            task = progress.add_task("Forecasting", total=len(history.servers))
            result = backtest(
                history, forecaster, options.origins, lambda n: progress.advance(task, n)
            )
    except (HistoryError, ModelUnusable, LakeMissing, LakeUnreadable, ReplayFailed) as error:
        say_lines(f"hoursight: {error}", err=True)
        return 2
    _print(result, loaded, options, say)
    _write(result, forecaster, loaded, options, say)
    return 1 if result.loses else 0


def _loop(history: History, forecaster: Forecaster, options: BacktestOptions, say: Say) -> int:
    cores = None
    if options.lake:
        reader = Reader.open(options.data)
        cores = cores_of(reader, history)
        reader.close()
    chosen = LoopOptions(options.cadence, cores, options.json_file)
    return loop_backtest(history, forecaster, options.data, chosen, say)


def _check(options: BacktestOptions) -> None:
    if options.lake == bool(options.files):
        raise HistoryError("name files, or --lake for the history in the data folder; one of both")
    if options.loop and options.html_file is not None:
        raise HistoryError("--loop writes no report: leave --html out, or use --json")
    for path in (options.json_file, options.html_file):
        if path is not None and not path.absolute().parent.is_dir():
            raise HistoryError(f"{path}: there is no folder {path.absolute().parent}; make it")


def _loaded(options: BacktestOptions) -> LoadedHistory:
    if options.files:
        return read_history(options.data, options.files, options.time_format, options.time_zone)
    reader = Reader.open(options.data)
    try:
        steps = CONTEXT_STEPS + options.origins * HORIZON_STEPS
        if options.loop:
            steps = round(options.days * CONTEXT_STEPS)
        return LoadedHistory(from_lake(reader, steps), (), 0, ())
    finally:
        reader.close()


def _chosen(history: History, servers: str | None) -> History:
    """Return the servers that match one of the comma-separated patterns."""
    patterns = [p.strip() for p in (servers or "*").split(",") if p.strip()]
    rows = [i for i, s in enumerate(history.servers) if any(fnmatchcase(s, p) for p in patterns)]
    if not rows:
        more = ", …" if len(history.servers) > SERVERS_LISTED else ""
        known = ", ".join(history.servers[:SERVERS_LISTED]) + more
        raise HistoryError(f"--servers {servers!r} matches no server (there are {known})")
    return history.only(rows)


def _print(result: Backtest, loaded: LoadedHistory, options: BacktestOptions, say: Say) -> None:
    _print_input(result, loaded, options, say)
    say("")
    say(
        "Weighted quantile loss (.1 .5 .9), relative to the value 24 h before, which is 1. "
        "'median' is the absolute error of the median, on the same scale."
    )
    say("")
    naive = [name for name in FORECASTS if name != SEASONAL]
    print_grid(
        ["metric", "lead", *naive, "median", "in 80 %", "in 96 %"],
        [_row(result, metric, lead) for metric in (*result.metrics, None) for lead in LEADS],
    )
    say("")
    say(verdict(result))


def _print_input(
    result: Backtest, loaded: LoadedHistory, options: BacktestOptions, say: Say
) -> None:
    first, last = result.history.span
    fewer = result.origins < options.origins
    say(
        f"model {result.model} on {len(result.history.servers)} servers, {format_time(first)} to "
        f"{format_time(last)}: {result.origins} origins 8 h apart"
        + (f" (the history is too short for {options.origins})" if fewer else "")
    )
    if loaded.ignored:
        say(f"columns ignored, not metrics: {', '.join(loaded.ignored)}")
    if loaded.refused:
        say(f"rejected: {loaded.refused} rows and values")
    for reason in loaded.reasons:
        say(f"  {reason}")
    if result.abstained:
        share = result.abstained / (result.abstained + result.scored)
        say(f"no forecast for {share:.1%} of the values: too little history before them")


def _row(result: Backtest, metric: str | None, lead: int | None) -> list[str]:
    ours = result.score(SERVED, metric, lead)
    others = (result.score(n, metric, lead).loss for n in FORECASTS if n not in (SERVED, SEASONAL))
    numbers = (ours.loss, *others, ours.error, ours.inside, ours.inside_96)
    name = (metric or "all metrics") if lead == 0 else ""
    return [name, lead_name(lead), *("–" if math.isnan(n) else f"{n:.3f}" for n in numbers)]


def _write(
    result: Backtest,
    forecaster: Forecaster,
    loaded: LoadedHistory,
    options: BacktestOptions,
    say: Say,
) -> None:
    if options.json_file:
        options.json_file.write_text(json.dumps(as_json(result, loaded), indent=1) + "\n")
        say(f"wrote {options.json_file}")
    if options.html_file:
        options.html_file.write_text(html_report(result, served(forecaster), loaded))
        say(f"wrote {options.html_file}")
