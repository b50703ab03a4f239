"""Trial of alert rules for a caller: what they would have made of the stored history."""

from dataclasses import replace
from typing import Any

import msgspec

from functions.engine.function import Batch, function
from functions.engine.triggers import request
from functions.engine.window import Window
from functions.normalize.strict_toml import SourceInvalid, decode_strict
from functions.replay.trial import (
    RulesRefused,
    rule_in_force,
    rules_on_trial,
    span_of,
    try_rules,
)
from functions.rules.alerts.rule_book import RuleBook
from storage.config.settings import schema_of
from storage.query.history import HistoryError

__all__ = ["alert_trial"]

LONGEST_DAYS = 30.0


class TrialRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to try: the rule in force of a name, or the rules of a text; over how many days."""

    rule: str | None = None
    toml: str | None = None
    days: float = 7.0

    def __post_init__(self) -> None:
        if bool(self.rule) == bool(self.toml):
            raise ValueError("expected one of rule (a name) and toml (the text of rules)")
        if not 1 <= self.days <= LONGEST_DAYS:
            raise ValueError(f"days is {self.days:g}, expected 1 to {LONGEST_DAYS:g}")


@function(on=request(), writes=(), deadline="30m", memory_mb=2048)
def alert_trial(window: Window, body: Any) -> Batch:
    """Answer with what alert rules would have done with the odds that are stored.

    `body` has `rule`, the name of a rule in force, or `toml`, rules as a file of `alerts/` has
    them, and `days`. The answer is that of `hoursight alerts try --json`; NULL is not known.
    """
    try:
        wanted: TrialRequest = decode_strict(body if body is not None else {}, TrialRequest)
        book = _book(window, wanted)
        start, stop = span_of(window.reader, wanted.days)
    except (SourceInvalid, RulesRefused, HistoryError) as error:
        return Batch(refused=1, reasons=(str(error),))
    return Batch(answer=try_rules(book, window.reader, start, stop).as_json())


def _book(window: Window, wanted: TrialRequest) -> RuleBook:
    folders = window.reader.folders
    if wanted.toml:
        book = rules_on_trial(wanted.toml.encode(), schema_of(folders).metrics)
    else:
        book = rule_in_force(wanted.rule or "", folders)
    # A rule that is off is tried as if it were on.
    rules = tuple(msgspec.structs.replace(rule, enabled=True) for rule in book.rules)
    return replace(book, rules=rules)
