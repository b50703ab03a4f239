"""`hoursight alerts import`: a user's Prometheus alert rules, replayed on the stored history."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from functions.replay.prometheus_replay import RuleReplay, Tonight, replay_rules
from functions.replay.prometheus_rules import RulesUnreadable, read_rules
from functions.rules.evaluation.warning_quality import WarningQuality
from scripts.cli.output import format_time
from scripts.cli.printer import say_lines
from storage.model.grid import STEP, STEP_MINUTES
from storage.query import windows
from storage.query.history import History, HistoryError, cores_of, from_lake
from storage.query.reader import LakeMissing, LakeUnreadable, Reader

__all__ = ["ImportOptions", "command"]

DAY_STEPS = 24 * 60 // STEP_MINUTES
LISTED = 5

Say = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """The options of the command."""

    data: Path
    file: Path
    days: float = 7.0
    json_file: Path | None = None


def command(options: ImportOptions, say: Say) -> int:
    """Replay and print; return 0, or 2 when the file or the lake cannot be used."""
    try:
        rules = read_rules(options.file)
        reader = Reader.open(options.data)
        try:
            history = from_lake(reader, round(options.days * DAY_STEPS))
            cores = cores_of(reader, history)
            issued = windows.forecasts(reader, history.span[1] + STEP)
        finally:
            reader.close()
    except (RulesUnreadable, HistoryError, LakeMissing, LakeUnreadable) as error:
        say_lines(f"hoursight: {error}", err=True)
        return 2
    results = replay_rules(rules, history, cores, issued)
    _print(options.file, results, history, say)
    if options.json_file:
        content = [each.as_json() for each in results]
        options.json_file.write_text(json.dumps(content, indent=1) + "\n")
        say(f"wrote {options.json_file}")
    return 0


def _print(file: Path, results: Sequence[RuleReplay], history: History, say: Say) -> None:
    replayed = [each for each in results if each.reason is None]
    others = [each for each in results if each.reason is not None]
    first, last = history.span
    say(
        f"{file}: {len(replayed)} of {len(results)} rules replayed on {len(history.servers)} "
        f"servers, {format_time(first)} to {format_time(last)}"
    )
    for each in replayed:
        _print_rule(each, say)
    if others:
        say("")
        say("not replayed:")
        for each in others:
            say(f"  {each.name}: {each.reason}")


def _print_rule(each: RuleReplay, say: Say) -> None:
    say("")
    say(f"{each.name}: {each.expression}")
    say(
        f"  fired {each.fired} times ({each.fired_a_week:.1f} a week) on {each.servers} servers"
        + (f"; fires now on {_listed(each.firing_now)}" if each.firing_now else "")
    )
    say(f"  {_judged(each.quality)}")
    if each.tonight is not None:
        say(f"  {_tonight(each.tonight)}")
    for note in each.notes:
        say(f"  note: {note}")


def _judged(quality: WarningQuality | None) -> str:
    """How the firings did against breaches of the metric's critical level."""
    if quality is None:
        return "not judged: its metric has no critical level"
    lead = "" if math.isnan(quality.lead_median) else (
        f"; lead median {quality.lead_median:.0f} min, P10 {quality.lead_p10:.0f} min"
    )  # fmt: skip
    return (
        f"against the critical level: {quality.right} right, {quality.false} wrong, "
        f"{quality.missed} of {quality.breaches} breaches missed{lead}"
    )


def _tonight(tonight: Sequence[Tonight]) -> str:
    if not tonight:
        return "tonight: unknown, there is no fresh forecast"
    likely = [each for each in tonight if each.odds > 0]
    if not likely:
        return f"within 8 h: on no server ({len(tonight)} have a forecast)"
    texts = [
        f"{each.server} {each.odds:.0%}" + (f" (about {each.at:%H:%M} UTC)" if each.at else "")
        for each in likely
    ]
    return f"within 8 h: {_listed(texts)}"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {more} more" if more > 0 else "")
