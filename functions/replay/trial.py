"""Trial of alert rules: what they would have made of the odds and values that are stored.

The rules are stepped through the lake's past by the alert function's own code, and their episodes
judged against what each rule itself calls a breach. Nothing is written to the lake.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from functions.alert import alert_tables
from functions.alerting.rule_files import read_rule_files
from functions.alerting.rule_reader import read_book
from functions.engine.window import Window
from functions.replay.outcomes import SeriesNames, breaches_of, warnings_of_episodes
from functions.rollup import SETTLE
from functions.rules.alerts.episode import ENDED
from functions.rules.alerts.rule import Rule, ServerFacts, matches
from functions.rules.alerts.rule_book import RuleBook
from functions.rules.evaluation.warning_quality import WarningQuality, warning_quality
from functions.rules.odds.breaches import at_level, breaches
from storage.config.folders import Folders
from storage.config.settings import schema_of
from storage.errors import HoursightError
from storage.model.grid import STEP, STEP_MINUTES, floor_step
from storage.model.metrics import Metric
from storage.model.profiles import levels_for
from storage.model.schema import table
from storage.model.severity import SEVERITIES
from storage.query.history import HistoryError
from storage.query.memory_lake import MemoryLake
from storage.query.reader import Reader

__all__ = [
    "RuleTrial",
    "RulesRefused",
    "Trial",
    "read_rules_on_trial",
    "rule_in_force",
    "rules_on_trial",
    "span_of",
    "try_rules",
]

# What pages, by the stock routes: what must be answered within so many minutes.
PAGES_WITHIN = 15
PAGING = frozenset(s.name for s in SEVERITIES if (s.respond_within_minutes or 1e9) <= PAGES_WITHIN)
WEEK = timedelta(days=7)
MARKS_BEFORE = timedelta(days=8)

_TEXT = "rules on trial"

RECENT_TICKS = 13  # for so long odds count for a rule that asks for them again and again
_STEP_US = STEP_MINUTES * 60_000_000

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


class RulesRefused(HoursightError):
    """A file of rules cannot be tried; the message names it, the entry, and the remedy."""


@dataclass(frozen=True, slots=True)
class RuleTrial:
    """What one rule would have done."""

    rule: Rule
    quality: WarningQuality
    pages_a_week: float
    warnings_a_week: float


@dataclass(frozen=True, slots=True)
class Trial:
    """The rules' results over a time, in which `odds` rows were stored for `servers` servers."""

    start: datetime
    stop: datetime
    servers: int
    odds: int
    rules: tuple[RuleTrial, ...]

    def as_json(self) -> dict[str, Any]:
        """Return all numbers as values that JSON has; None is not known."""
        return {
            "start": self.start.isoformat(), "stop": self.stop.isoformat(),
            "servers": self.servers, "odds": self.odds,
            "rules": [
                {"name": each.rule.name, "pages_a_week": each.pages_a_week,
                 "episodes_a_week": each.warnings_a_week, **each.quality.as_json()}
                for each in self.rules
            ],
        }  # fmt: skip


def read_rules_on_trial(path: Path, metrics: Sequence[Metric]) -> RuleBook:
    """Return the rules of one file alone, without the stock ones. Raises RulesRefused."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise RulesRefused(
            f"{path}: cannot be read ({error.strerror}); name a file of alert rules"
        ) from error
    try:
        return rules_on_trial(text, metrics)
    except RulesRefused as error:
        raise RulesRefused(f"{path}: {error}") from error


def rules_on_trial(text: bytes, metrics: Sequence[Metric]) -> RuleBook:
    """Return the rules of a text, written as a file of rules, alone. Raises RulesRefused."""
    read = read_book({_TEXT: text}, {}, metrics)
    if read.refusals:
        raise RulesRefused("; ".join(f"{each.entry}: {each.why}" for each in read.refusals))
    names = set(read.entries[_TEXT].get("rule", {}))
    rules = tuple(rule for rule in read.book.rules if rule.name in names)
    if not rules:
        raise RulesRefused("it has no [[rule]]; write one with name and metrics")
    return replace(read.book, rules=rules, no_data=())


def span_of(reader: Reader, days: float) -> tuple[datetime, datetime]:
    """Return the last `days` of complete steps, or fewer where the lake has no more.

    Raises HistoryError for a lake without any.
    """
    span = reader.query("SELECT min(ts) AS first, max(ts) AS last FROM metrics_5m").to_pylist()[0]
    if span["first"] is None:
        raise HistoryError("the lake has no complete 5-minute step yet: let the system run")
    stop = span["last"] + STEP
    return max(floor_step(stop - timedelta(days=days)), span["first"]), stop


def rule_in_force(name: str, folders: Folders) -> RuleBook:
    """Return one rule of a data folder, or a stock one, alone. Raises RulesRefused."""
    book = read_rule_files(folders, save=False).book
    rules = tuple(rule for rule in book.rules if rule.name == name)
    if not rules:
        known = ", ".join(repr(rule.name) for rule in book.rules)
        raise RulesRefused(
            f"{name!r} is neither a file nor a rule in force (expected a file such as "
            f"mine.toml, or one of {known})"
        )
    return replace(book, rules=rules, no_data=())


def try_rules(
    book: RuleBook,
    reader: Reader,
    start: datetime,
    stop: datetime,
    progress: Callable[[int, int], Any] = lambda *_: None,
) -> Trial:
    """Step `book` through what `reader`'s lake has from `start` to `stop` (starts of steps)."""
    past, judge = _Past(reader, start, stop), _Judge(reader, start, stop)
    awake = past.awake(book.rules) | judge.at_level(book.rules)
    lake = MemoryLake(reader.folders)
    try:
        is_open: set[str] = set()
        for tick in range(len(awake)):
            if awake[tick] or is_open:  # else no rule can say anything
                _step(book, lake, past, start + (tick + 1) * STEP, is_open)
            progress(tick + 1, len(awake))
        events = lake.reader.query("SELECT * FROM alert_events")
    finally:
        lake.close()
    trials = tuple(judge.trial(rule, events) for rule in book.rules)
    return Trial(start, stop, len(judge.facts), past.odds, trials)


def _step(book: RuleBook, lake: MemoryLake, past: "_Past", at: datetime, is_open: set[str]) -> None:
    """Let the rules see what was known at a time; note which episodes are open after it."""
    past.fill(lake, at)
    now = at + SETTLE
    lake.at(now)
    made = alert_tables(Window(lake.reader, now), book, lake.schema.metrics)
    for name, rows in made.items():
        lake.put(name, rows)
    for row in made["alert_events"].to_pylist() if made else ():
        (is_open.discard if row["phase"] in ENDED else is_open.add)(row["episode"])


class _Past:
    """The stored rows of a time, handed out in its order."""

    def __init__(self, reader: Reader, start: datetime, stop: datetime) -> None:
        span = {"start": start, "stop": stop}
        between = "{0} >= $start AND {0} < $stop ORDER BY {0}".format
        self._rows = {
            "server_facts": reader.query("SELECT * FROM server_facts WHERE ts < $stop ORDER BY ts",
                                         stop=stop),
            "metrics_5m": reader.query(f"SELECT * FROM metrics_5m WHERE {between('ts')}", **span),
            "odds": reader.query(f"SELECT * FROM odds WHERE {between('issued_at')}", **span),
            "marks": reader.query(f"SELECT * FROM marks WHERE {between('ts')}",
                                  start=start - MARKS_BEFORE, stop=stop),
        }  # fmt: skip
        self._ends = {name: self._times(name) for name in self._rows}
        self._next = dict.fromkeys(self._rows, 0)
        self.odds = self._rows["odds"].num_rows
        self._start, self._ticks = start, int((stop - start) / STEP)

    def _times(self, name: str) -> NDArray[np.int64]:
        """When each row is known, in microseconds; a 5-minute step is at its end."""
        column = self._rows[name][table(name).time]
        micros = np.asarray(column.cast(pa.timestamp("us", "UTC")).cast(pa.int64()))
        return micros + (_STEP_US if name == "metrics_5m" else 0)

    def fill(self, lake: MemoryLake, at: datetime) -> None:
        """Put into the lake what was known at a time, and is not there yet."""
        limit = int(at.timestamp() * 1_000_000)
        for name, rows in self._rows.items():
            first = self._next[name]
            last = int(np.searchsorted(self._ends[name], limit, "right"))
            if last > first:
                lake.put(name, rows.slice(first, last - first))
                self._next[name] = last

    def awake(self, rules: Sequence[Rule]) -> Flags:
        """The ticks [steps] at which odds of the last hour could open a warning of a rule."""
        odds = self._rows["odds"]
        reached = np.zeros(odds.num_rows, bool)
        for rule in rules:
            prefix = "any" if rule.samples == "any" else "p"
            for limits in (rule.odds_at(True), rule.odds_at(False), rule.page_odds):
                for lead, p in limits.items():
                    reached |= odds[f"{prefix}_{lead}m"].to_numpy() >= np.float32(p)
        awake = np.zeros(self._ticks, bool)
        begun = int(self._start.timestamp() * 1e6)
        for tick in np.unique((self._ends["odds"][reached] - begun) // _STEP_US):
            awake[max(tick - 1, 0) : tick + RECENT_TICKS] = True
        return awake


class _Judge:
    """Judges episodes against what each rule calls a breach."""

    def __init__(self, reader: Reader, start: datetime, stop: datetime) -> None:
        self._start, self._stop = start, stop
        self._metrics = schema_of(reader.folders).metrics
        rows = reader.query("SELECT server, profile, site, cores FROM servers ORDER BY server")
        self.facts = [ServerFacts(r["server"], r["profile"], r["site"]) for r in rows.to_pylist()]
        self._cores = rows["cores"].to_pylist()
        self._reader = reader

    def at_level(self, rules: Sequence[Rule]) -> Flags:
        """The ticks [steps] at which a value is at the level of a rule."""
        masks = [at_level(*self._series(rule)).any(axis=0) for rule in rules]
        return np.asarray(np.any(masks, axis=0))

    def trial(self, rule: Rule, events: pa.Table) -> RuleTrial:
        """Return what a rule would have done."""
        metrics = self._metrics_of(rule)
        names = SeriesNames(
            tuple(f.server for f in self.facts), tuple(m.name for m in metrics), self._start
        )
        rows = breaches(*self._series(rule), steps=rule.breach_steps)
        quality = warning_quality(
            warnings_of_episodes(events, names, {rule.name}),
            breaches_of(rows, range(len(metrics))),
            (0.0, (self._stop - self._start) / timedelta(minutes=1)),
            max(1, sum(rule.covers(facts) for facts in self.facts)),
        )
        weeks = (self._stop - self._start) / WEEK
        ours = events.filter(pc.equal(events["rule"], rule.name))
        paged = ours.filter(pc.is_in(ours["severity"], pa.array(sorted(PAGING))))
        return RuleTrial(
            rule, quality, len(set(paged["episode"].to_pylist())) / weeks,
            len(set(ours["episode"].to_pylist())) / weeks,
        )  # fmt: skip

    def _metrics_of(self, rule: Rule) -> list[Metric]:
        return [m for m in self._metrics if matches(m.name, rule.metrics)]

    def _series(self, rule: Rule) -> tuple[Floats, Floats]:
        """The values [servers × metrics, steps] and levels of a rule, signed; NaN: not covered."""
        metrics = self._metrics_of(rule)
        steps = int((self._stop - self._start) / STEP)
        values = np.full((len(self.facts), len(metrics), steps), np.nan)
        level = np.full((len(self.facts), len(metrics)), np.nan)
        places = {facts.server: i for i, facts in enumerate(self.facts)}
        for j, metric in enumerate(metrics):
            sign = -1.0 if metric.bad_when == "low" else 1.0
            kind = "max" if rule.samples == "any" and sign > 0 else "mean"
            rows = self._reader.query(
                f'SELECT server, ts, "{metric.name}_{kind}" AS value FROM metrics_5m '
                "WHERE ts >= $start AND ts < $stop",
                start=self._start, stop=self._stop,
            )  # fmt: skip
            server = np.array([places[s] for s in rows["server"].to_pylist()], np.int64)
            step = [int((ts - self._start) / STEP) for ts in rows["ts"].to_pylist()]
            values[server, j, step] = sign * rows["value"].to_numpy().astype(np.float64)
            for i, facts in enumerate(self.facts):
                if rule.covers(facts):
                    level[i, j] = sign * self._level(rule, metric, facts, self._cores[i])
        return values.reshape(-1, steps), level.reshape(-1)

    def _level(self, rule: Rule, metric: Metric, facts: ServerFacts, cores: int | None) -> float:
        if not isinstance(rule.level, str):
            return float(rule.level)
        levels = levels_for(facts.profile, cores).get(metric.name, metric.levels)
        return float("nan") if levels is None else float(getattr(levels, rule.level))
