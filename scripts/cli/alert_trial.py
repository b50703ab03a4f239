"""`hoursight alerts try`: what a rule would have done with the stored odds, before it is saved."""

import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.progress import Progress

from functions.replay.trial import (
    RulesRefused,
    RuleTrial,
    Trial,
    read_rules_on_trial,
    rule_in_force,
    span_of,
    try_rules,
)
from functions.rules.alerts.rule_book import RuleBook
from scripts.cli.output import format_time
from scripts.cli.printer import console, say_lines
from storage.config.folders import Folders
from storage.config.settings import schema_of
from storage.query.history import HistoryError
from storage.query.reader import LakeMissing, LakeUnreadable, Reader

__all__ = ["TrialOptions", "command"]

Say = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class TrialOptions:
    """The options of the command."""

    data: Path
    rule: str  # a file, or the name of a rule in force
    days: float = 7.0
    json_file: Path | None = None


def command(options: TrialOptions, say: Say) -> int:
    """Try the rules and print; return 0, or 2 when the file or the lake cannot be used."""
    try:
        book = _rules(options.rule, Folders.at(options.data))
        reader = Reader.open(options.data)
        try:
            start, stop = span_of(reader, options.days)
            with Progress(console=console(err=True), disable=not sys.stderr.isatty()) as progress:
                task = progress.add_task("Trying", total=None)
                trial = try_rules(
                    book, reader, start, stop,
                    lambda done, total: progress.update(task, completed=done, total=total),
                )  # fmt: skip
        finally:
            reader.close()
    except (RulesRefused, HistoryError, LakeMissing, LakeUnreadable) as error:
        say_lines(f"hoursight: {error}", err=True)
        return 2
    _print(options.rule, trial, say)
    if options.json_file:
        options.json_file.write_text(json.dumps(trial.as_json(), indent=1) + "\n")
        say(f"wrote {options.json_file}")
    return 0


def _rules(name: str, folders: Folders) -> RuleBook:
    if Path(name).suffix == ".toml" or Path(name).exists():
        return read_rules_on_trial(Path(name), schema_of(folders).metrics)
    return rule_in_force(name, folders)


def _print(name: str, trial: Trial, say: Say) -> None:
    say(
        f"{name}: {len(trial.rules)} rules tried on {trial.odds} odds of {trial.servers} servers, "
        f"{format_time(trial.start)} to {format_time(trial.stop)}"
    )
    if not trial.odds:
        say("no odds are stored for this time: only breaches themselves are seen")
    for each in trial.rules:
        _print_rule(each, say)
    say("")
    say("Warnings of the last 8 hours are not judged yet.")


def _print_rule(each: RuleTrial, say: Say) -> None:
    quality = each.quality
    say("")
    say(f"{each.rule.name}")
    say(
        f"  {quality.right} right, {quality.false} wrong ({quality.withdrawn} of them withdrawn), "
        f"{quality.averted} averted; {quality.missed} of {quality.breaches} breaches missed"
    )
    say(
        f"  precision {_share(quality.precision)}; lead median {_minutes(quality.lead_median)}, "
        f"P10 {_minutes(quality.lead_p10)}; warned {_share(quality.time_warned)} of the time"
    )
    say(
        f"  {_number(quality.false_per_host_day)} false alarms per host-day; "
        f"{each.warnings_a_week:.1f} episodes and {each.pages_a_week:.1f} pages a week"
    )


def _share(value: float) -> str:
    return "unknown" if math.isnan(value) else f"{value:.0%}"


def _minutes(value: float) -> str:
    return "unknown" if math.isnan(value) else f"{value:.0f} min"


def _number(value: float) -> str:
    return "unknown" if math.isnan(value) else f"{value:.3f}"
