"""Reader of `alerts/*.toml`: texts to a rule book, and in words what cannot be used and why.

Each entry stands for itself. Instead of one that cannot be used its last good version goes on.
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from functions.normalize.strict_toml import SourceInvalid, decode_strict
from functions.rules.alerts.maintenance import Maintenance
from functions.rules.alerts.routes import STOCK_ROUTES, STOCK_STEPS, Routes, Step
from functions.rules.alerts.rule import NoDataRule, Rule, matches, severity_called
from functions.rules.alerts.rule_book import STOCK_BOOK, RuleBook
from storage.model.metrics import Metric

__all__ = ["Entries", "ReadBook", "Refusal", "read_book"]

# A list of entries by its key, and what each entry is.
_LISTS: Mapping[str, type[msgspec.Struct]] = {
    "rule": Rule, "no_data": NoDataRule, "maintenance": Maintenance,
}  # fmt: skip
_TABLES = ("routes", "escalation", "silent_arm")
# The entries of one file that can be used, by kind and name, as they stand in it.
Entries = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Refusal:
    """An entry that cannot be used, why, and whether an earlier version of it goes on."""

    file: str
    entry: str
    why: str
    kept: bool

    def __str__(self) -> str:
        """As a sentence."""
        goes_on = "its last good version goes on" if self.kept else "it is left out"
        return f"alerts/{self.file}.toml: {self.entry}: {self.why}; {goes_on}"


@dataclass(frozen=True, slots=True)
class ReadBook:
    """The rule book of some files, what was refused, and the entries in force by file."""

    book: RuleBook
    refusals: tuple[Refusal, ...]
    entries: Mapping[str, Entries]


@dataclass
class _Reading:
    """Entries that were read so far, as structs and as they came."""

    metrics: Sequence[Metric]
    rules: dict[str, Rule] = field(default_factory=dict)
    no_data: dict[str, NoDataRule] = field(default_factory=dict)
    maintenance: dict[str, Maintenance] = field(default_factory=dict)
    first: dict[str, str] = field(default_factory=lambda: dict(STOCK_ROUTES))
    steps: dict[str, Step] = field(default_factory=lambda: dict(STOCK_STEPS))
    silent_share: float = 0.0

    def names(self) -> set[str]:
        return {*self.rules, *self.no_data}


def read_book(
    texts: Mapping[str, bytes], last_good: Mapping[str, Entries], metrics: Sequence[Metric]
) -> ReadBook:
    """Return the rule book of files by name; `last_good` has their entries in force until now."""
    reading, refusals, entries = _Reading(metrics), [], {}
    for file, text in sorted(texts.items()):
        good: Entries = {}
        for kind, name, raw, why in _entries(text):
            before = last_good.get(file, {}).get(kind, {})
            if why is None:
                why = _taken(reading, kind, name, raw)
            if why is None:
                good.setdefault(kind, {})[name] = raw
                continue
            versions = before if kind == "" else {name: before[name]} if name in before else {}
            kept = _keep(reading, good, kind, versions, last_good.get(file, {}))
            refusals.append(
                Refusal(file, f"{kind} {name!r}".strip() if kind else "file", why, kept)
            )
        entries[file] = good
    problem = Routes(reading.first, reading.steps).problem()
    if problem is not None:
        kept = _restore_routes(reading, last_good)
        refusals.append(Refusal("*", "routes and escalation", problem, kept))
    return ReadBook(_book(reading), tuple(refusals), entries)


def _keep(reading: _Reading, good: Entries, kind: str, versions: Entries, whole: Entries) -> bool:
    """Take the last good versions of what cannot be used; return True if there are any."""
    chosen = {kind: versions} if kind else whole
    kept = False
    for each, entries in chosen.items():
        for name, raw in entries.items():
            if _taken(reading, each, name, raw) is None:
                good.setdefault(each, {})[name] = raw
                kept = True
    return kept


def _entries(text: bytes) -> Iterator[tuple[str, str, Any, str | None]]:
    """Yield kind, name, raw entry, and what is wrong with it already (None: nothing)."""
    try:
        raw = tomllib.loads(text.decode())
    except (ValueError, RecursionError) as error:
        yield "", "", None, f"{error}: correct the file"
        return
    for key, value in raw.items():
        if key in _LISTS:
            yield from _listed(key, value)
        elif key in _TABLES and isinstance(value, dict):
            if key == "silent_arm":
                yield key, key, value, None
            else:
                yield from ((key, name, each, None) for name, each in value.items())
        elif key != "enabled":
            expected = ", ".join([f"[[{name}]]" for name in _LISTS] + [f"[{t}]" for t in _TABLES])
            yield key, key, value, f"{key!r} is not a key of a file of rules (expected {expected})"


def _listed(kind: str, value: Any) -> Iterator[tuple[str, str, Any, str | None]]:
    if not isinstance(value, list):
        yield kind, kind, value, f"{kind} is a table (expected a list: write [[{kind}]])"
        return
    for number, each in enumerate(value, 1):
        name = each.get("name") if isinstance(each, dict) else None
        yield kind, str(name or f"number {number}"), each, None


def _taken(reading: _Reading, kind: str, name: str, raw: Any) -> str | None:
    """Take an entry; return why it cannot be used, in words (None: it is taken)."""
    try:
        _TAKE[kind](reading, name, raw)
    except (SourceInvalid, ValueError) as error:
        return str(error)
    return None


def _take_rule(reading: _Reading, _: str, raw: Any) -> None:
    rule = decode_strict(raw, Rule)
    _check_unused(reading, rule.name)
    _check_metrics(reading, rule)
    reading.rules[rule.name] = rule


def _take_no_data(reading: _Reading, _: str, raw: Any) -> None:
    rule = decode_strict(raw, NoDataRule)
    _check_unused(reading, rule.name)
    reading.no_data[rule.name] = rule


def _take_maintenance(reading: _Reading, _: str, raw: Any) -> None:
    window = decode_strict(raw, Maintenance)
    if window.name in reading.maintenance:
        raise ValueError(f"name is {window.name!r}, which is used twice: choose another")
    reading.maintenance[window.name] = window


def _take_route(reading: _Reading, severity: str, raw: Any) -> None:
    severity_called(severity, "severity")
    step = decode_strict(raw, str, f"routes.{severity}")
    others = {slug: name for slug, name in reading.first.items() if slug != severity}
    reading.first = others | ({severity: step} if step else {})  # "": nowhere


def _take_step(reading: _Reading, name: str, raw: Any) -> None:
    steps = reading.steps | {name: decode_strict(raw, Step, f"escalation.{name}")}
    problem = Routes({"this severity": name}, steps).problem()
    if problem is not None and "circle" in problem:
        raise ValueError(problem)
    reading.steps = steps


def _take_silent_arm(reading: _Reading, _: str, raw: Any) -> None:
    share = decode_strict(raw, _SilentArm, "silent_arm").share
    reading.silent_share = share


class _SilentArm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    share: float

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 0.5:
            raise ValueError(f"share is {self.share:g}, expected a number from 0 to 0.5")


_TAKE = {
    "rule": _take_rule, "no_data": _take_no_data, "maintenance": _take_maintenance,
    "routes": _take_route, "escalation": _take_step, "silent_arm": _take_silent_arm,
}  # fmt: skip


def _check_unused(reading: _Reading, name: str) -> None:
    if name in reading.names():
        raise ValueError(f"name is {name!r}, which another rule has: choose another")


def _check_metrics(reading: _Reading, rule: Rule) -> None:
    """Raise ValueError for a metric that does not exist, or that has no level."""
    known = [metric.name for metric in reading.metrics]
    for glob in rule.metrics:
        if not any(matches(name, (glob,)) for name in known):
            raise ValueError(
                f"metrics has {glob!r}, which no metric matches (expected some of "
                f"{', '.join(known)}, or a glob)"
            )
        bare = next((m for m in reading.metrics if m.name == glob and m.levels is None), None)
        if bare is not None and isinstance(rule.level, str):
            raise ValueError(
                f"level is {rule.level!r}, and {glob} has no {rule.level} level: write "
                "level = NUMBER"
            )


def _restore_routes(reading: _Reading, last_good: Mapping[str, Entries]) -> bool:
    """Go back to the last routes that were whole, else to the stock ones."""
    former = _Reading(reading.metrics)
    for entries in last_good.values():
        for kind in ("escalation", "routes"):
            for name, raw in entries.get(kind, {}).items():
                _taken(former, kind, name, raw)
    whole = Routes(former.first, former.steps).problem() is None and bool(last_good)
    stock = STOCK_BOOK.routes
    reading.first = dict(former.first if whole else stock.first)
    reading.steps = dict(former.steps if whole else stock.steps)
    return whole


def _book(reading: _Reading) -> RuleBook:
    """Return the book: stock rules that no rule of the user replaces come first."""
    rules = {rule.name: rule for rule in STOCK_BOOK.rules} | reading.rules
    no_data = {rule.name: rule for rule in STOCK_BOOK.no_data} | reading.no_data
    return RuleBook(
        tuple(rules.values()), tuple(no_data.values()), tuple(reading.maintenance.values()),
        Routes(reading.first, reading.steps), reading.silent_share,
    )  # fmt: skip
