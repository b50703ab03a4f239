"""`hoursight backtest --loop`: plays a history through the whole loop, and prints its scorecard."""

import json
import math
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from functions.engine.forecaster import Forecaster
from functions.engine.function_catalog import engine_functions
from functions.replay.replay import ReplayOptions, replay, replayed_functions
from functions.replay.scorecard import Accuracy, Scorecard, scorecard
from functions.rules.evaluation.warning_quality import WarningQuality
from scripts.cli.output import format_time, print_grid
from scripts.cli.replay_progress import replay_progress
from storage.config.folders import Folders
from storage.config.settings import read_settings
from storage.model.grid import CONTEXT_STEPS
from storage.query.history import STEP_S, History, HistoryError

__all__ = ["LoopOptions", "loop_backtest"]

LEAST_STEPS = 2 * CONTEXT_STEPS  # a day before the first forecast, and one to judge

Say = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class LoopOptions:
    """How to play: minutes between runs, the servers' cores, and where to write the numbers."""

    cadence_minutes: int = 5
    cores: Sequence[int | None] | None = None
    json_file: Path | None = None


def loop_backtest(
    history: History,
    forecaster: Forecaster,
    data: Path,
    options: LoopOptions,
    say: Say,
) -> int:
    """Play and print; return 1 if the served forecast loses to yesterday's value, else 0.

    The settings and alert rules are those of `data`, to which nothing is written. Raises
    HistoryError and ReplayFailed.
    """
    if history.steps < LEAST_STEPS:
        raise HistoryError(
            f"the history has {history.steps * STEP_S / 3600:.1f} hours: --loop needs "
            f"{LEAST_STEPS * STEP_S // 3600}, a day before the first forecast and one to judge"
        )
    began = time.monotonic()
    with _settings_of(data) as folders, replay_progress() as on_step:
        lake = replay(
            history, forecaster, replayed_functions(engine_functions()), folders,
            ReplayOptions(cadence_minutes=options.cadence_minutes, cores=options.cores,
                          settings=read_settings(folders.data)),
            on_step,
        )  # fmt: skip
        with closing(lake):
            card = scorecard(lake.reader, history, options.cores, CONTEXT_STEPS)
    _print(history, card, time.monotonic() - began, say)
    if options.json_file:
        options.json_file.write_text(json.dumps(card.as_json(), indent=1) + "\n")
        say(f"wrote {options.json_file}")
    return 1 if card.accuracy and card.accuracy[-1].loss > 1 else 0


@contextmanager
def _settings_of(data: Path) -> Iterator[Folders]:
    """A folder with copies of a data folder's settings and alert rules, for as long as it lasts."""
    source = Folders.at(data)
    with tempfile.TemporaryDirectory(prefix="hoursight-replay-") as folder:
        copy = Folders.at(folder)
        if source.settings.is_file():
            shutil.copy(source.settings, copy.settings)
        if source.alerts.is_dir():
            copy.alerts.mkdir()
            for rules in source.alerts.glob("*.toml"):
                shutil.copy(rules, copy.alerts / rules.name)
        yield copy


def _print(history: History, card: Scorecard, seconds: float, say: Say) -> None:
    first, last = history.span
    steps = history.steps - CONTEXT_STEPS
    say(
        f"replayed {card.servers} servers, {format_time(first)} to {format_time(last)}: {steps} "
        f"steps in {seconds:.0f} s, {steps * STEP_S / max(seconds, 1e-9):.0f} times as fast as live"
    )
    _print_accuracy(card, say)
    _print_bands(card, say)
    _print_odds(card, say)
    _print_warnings(card.warnings, say)
    if card.served:
        shares = ", ".join(f"{name} {share:.1%}" for name, share in card.served.items())
        say(f"served: {shares}")


def _print_accuracy(card: Scorecard, say: Say) -> None:
    say("")
    if not card.accuracy:
        say("no forecast could be scored")
        return
    say("Loss and error of the median, relative to the value 24 h before, which is 1:")
    print_grid(
        ["metric", "targets", "loss", "model alone", "median", "last value"],
        [_accuracy_row(each) for each in card.accuracy],
    )


def _accuracy_row(each: Accuracy) -> list[str]:
    numbers = (each.loss, each.loss_model, each.error, each.error_naive)
    return [each.metric or "all metrics", str(each.targets), *map(_number, numbers)]


def _print_bands(card: Scorecard, say: Say) -> None:
    if not card.coverage:
        return
    say("")
    say(
        f"Share inside the bands since {format_time(card.settled)}, with intervals of "
        f"{card.coverage[0].blocks} blocks, and spread over series:"
    )
    print_grid(
        ["band", "before calibration", "after", "spread before", "after"],
        [[f"{each.level} %", _interval(each.before), _interval(each.after),
          *map(_number, each.spread)]
         for each in card.coverage],
    )  # fmt: skip


def _print_odds(card: Scorecard, say: Say) -> None:
    if not card.odds:
        return
    say("")
    say("Odds of a breach:")
    print_grid(
        ["within", "cases", "came", "calibration error", "Brier skill"],
        [[f"{each.lead_minutes} min", str(each.cases), _number(each.reliability.base_rate, 4),
          _number(each.reliability.ece), _number(each.reliability.skill)]
         for each in card.odds],
    )  # fmt: skip


def _print_warnings(quality: WarningQuality, say: Say) -> None:
    recall = ", ".join(f"≥ {lead} min {_number(v, 2)}" for lead, v in quality.recall.items())
    say("")
    say(
        f"Warnings: {quality.right} right, {quality.false} wrong, {quality.averted} averted, "
        f"{quality.missed} of {quality.breaches} breaches missed"
    )
    say(f"recall at lead {recall}; precision {_number(quality.precision, 2)}")
    say(
        f"{_number(quality.false_per_host_day)} false alarms per host-day, lead median "
        f"{_number(quality.lead_median, 0)} min, P10 {_number(quality.lead_p10, 0)} min, "
        f"warned {_number(quality.time_warned)} of the time"
    )


def _interval(share: tuple[float, float, float]) -> str:
    return f"{share[0]:.3f} [{share[1]:.3f}, {share[2]:.3f}]"


def _number(value: float, digits: int = 3) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}"
