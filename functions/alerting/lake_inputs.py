"""What the alert function reads of the lake: values and odds as arrays, episodes and marks."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from functions.engine.window import Window
from functions.rules.alerts.closing import longest_close_minutes
from functions.rules.alerts.episode import Episode, Mark, Phase, episode_of
from functions.rules.alerts.rule import Rule, ServerFacts, matches
from functions.rules.alerts.rule_book import RuleBook
from functions.rules.alerts.signals import Levels, OddsHistory, Signal, ValueHistory, signals
from functions.rules.alerts.words import label, odds_words
from storage.model.grid import LEAD_MINUTES, STEP, STEP_MINUTES
from storage.model.metrics import METRIC_NAMES, Metric
from storage.model.profiles import levels_for

__all__ = [
    "Fleet", "beliefs", "causes", "collecting_since", "fleet_of", "marks_until", "open_episodes",
    "reboots", "rule_signals",
]  # fmt: skip

ENDED_WITHIN = timedelta(days=1)
# A rule looks back at odds for at most so long; values for the longest breach and a little.
_RECENT = timedelta(hours=2)
_SPARE_STEPS = 4
_MARKS_WITHIN = timedelta(days=8)
_REBOOT_DAYS = 0.001  # an uptime that falls by less is rounding

Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Fleet:
    """Servers with their facts, in the order of their names."""

    facts: tuple[ServerFacts, ...]
    cores: tuple[int | None, ...]

    @property
    def by_name(self) -> dict[str, ServerFacts]:
        """The facts by name."""
        return {each.server: each for each in self.facts}


def fleet_of(window: Window) -> Fleet:
    """Return all known servers."""
    rows = window.sql("SELECT server, profile, site, cores FROM servers ORDER BY server")
    facts = zip(*(rows[name].to_pylist() for name in ("server", "profile", "site")), strict=True)
    return Fleet(
        tuple(ServerFacts(server, profile or "generic", site) for server, profile, site in facts),
        tuple(rows["cores"].to_pylist()),
    )


def open_episodes(window: Window) -> list[Episode]:
    """Return the episodes that are open, and those that ended within a day."""
    now = window.now
    rows = window.reader.named("windows/episodes", now=now, since=now - ENDED_WITHIN)
    return [episode_of(row) for row in rows.to_pylist()]


def marks_until(window: Window) -> list[Mark]:
    """Return the marks of the last days, and all silences."""
    rows = window.sql(
        "SELECT mark, ts, kind, server, pattern, metric, episode, starts_at, ends_at, made_by, "
        "note FROM marks WHERE ts <= $now AND (ts > $since OR kind IN ('silence', 'unsilence')) "
        "ORDER BY ts, mark",
        now=window.now, since=window.now - _MARKS_WITHIN,
    )  # fmt: skip
    return [Mark(**row) for row in rows.to_pylist()]


def reboots(window: Window, episodes: Iterable[Episode]) -> dict[str, datetime]:
    """Return the newest reboot of each server with a warning, while the warning was open."""
    warned = [e for e in episodes if e.phase == Phase.PREDICTED]
    if not warned:
        return {}
    rows = window.sql(
        "SELECT server, max(ts) AS ts FROM (SELECT server, ts, uptime_days_mean AS days, "
        "lag(uptime_days_mean) OVER (PARTITION BY server ORDER BY ts) AS before FROM metrics_5m "
        "WHERE ts >= $start AND ts <= $now AND list_contains($servers, server) "
        "AND uptime_days_mean IS NOT NULL) WHERE days < before - $least GROUP BY server",
        start=min(e.memory.opened_at for e in warned) - 2 * STEP, now=window.now,
        servers=sorted({e.server for e in warned}), least=_REBOOT_DAYS,
    )  # fmt: skip
    return dict(zip(rows["server"].to_pylist(), rows["ts"].to_pylist(), strict=True))


def causes(window: Window) -> dict[str, list[str]]:
    """Return the servers upstream of each, by the links that were found within a day."""
    rows = window.sql(
        "SELECT downstream, upstream, max(ts) AS ts FROM cascade_links "
        "WHERE ts > $since AND ts <= $now GROUP BY ALL ORDER BY ts DESC, upstream",
        since=window.now - timedelta(days=1), now=window.now,
    )  # fmt: skip
    upstream: dict[str, list[str]] = {}
    for row in rows.to_pylist():
        upstream.setdefault(row["downstream"], []).append(row["upstream"])
    return upstream


def collecting_since(window: Window) -> datetime | None:
    """Return when the processes that bring samples were started last; None: that is not known."""
    since: datetime | None = window.sql(
        "SELECT max(ts) AS ts FROM processes WHERE event = 'started' AND ts <= $now "
        "AND process IN ('writer', 'collector', 'engine')",
        now=window.now,
    )["ts"][0].as_py()
    return since


def beliefs(window: Window, servers: Sequence[str]) -> dict[str, list[str]]:
    """Return what was last thought of servers that fell silent, in sentences."""
    if not servers:
        return {}
    rows = window.sql(
        "SELECT * FROM risks WHERE issued_at > $since AND issued_at <= $now "
        "AND now_score IS NOT NULL AND list_contains($servers, server) "
        "QUALIFY row_number() OVER (PARTITION BY server ORDER BY issued_at DESC) = 1",
        since=window.now - timedelta(days=2), now=window.now, servers=list(servers),
    )  # fmt: skip
    return {row["server"]: _belief(row) for row in rows.to_pylist()}


def _belief(row: Mapping[str, Any]) -> list[str]:
    last = f"last scored {row['score']:.0f}, {row['severity']}"
    odds = row["p_breach_480m"]
    if odds is None:
        return [last]
    metric = f" of {label(row['breach_metric'])}" if row["breach_metric"] else ""
    return [last, f"odds of a breach{metric}: {odds_words(odds, 480)}"]


def rule_signals(
    window: Window,
    book: RuleBook,
    metrics: Sequence[Metric],
    fleet: Fleet,
    episodes: Sequence[Episode],
    stop: datetime,
) -> dict[str, list[Signal]]:
    """Return the signals of each rule; `stop` is the end of the newest complete step."""
    rules = [rule for rule in book.rules if rule.enabled]
    if not rules or not fleet.facts:
        return {}
    watched = {(e.server, e.metric) for e in episodes if e.is_open and e.metric is not None}
    judged = [m for m in metrics if any(matches(m.name, rule.metrics) for rule in rules)]
    values = _values(window, rules, judged, fleet, {server for server, _ in watched}, stop)
    odds = _odds(window, rules, watched)
    return {
        rule.name: signals(
            rule, _covered(rule, judged, fleet), values, odds,
            frozenset((e.server, e.metric or "") for e in episodes
                      if e.is_open and e.rule == rule.name),
        )
        for rule in rules
    }  # fmt: skip


def _covered(rule: Rule, metrics: Sequence[Metric], fleet: Fleet) -> npt.NDArray[np.bool_]:
    """True for the series [servers * metrics] that a rule is for."""
    servers = np.array([rule.covers(facts) for facts in fleet.facts], bool)
    names = np.array([matches(metric.name, rule.metrics) for metric in metrics], bool)
    covered: npt.NDArray[np.bool_] = (servers[:, None] & names).reshape(-1)
    return covered


def _values(
    window: Window,
    rules: Sequence[Rule],
    metrics: Sequence[Metric],
    fleet: Fleet,
    watched: set[str],
    stop: datetime,
) -> ValueHistory:
    """Return the values of all series: a few steps, and more of the servers that are watched."""
    few = max(rule.breach_steps for rule in rules) + _SPARE_STEPS
    many = max(few, int(longest_close_minutes(rules) / STEP_MINUTES) + _SPARE_STEPS)
    names = _stored(window, metrics)
    index = {facts.server: i for i, facts in enumerate(fleet.facts)}
    grid = np.full((2, len(index), many, len(metrics)), np.nan, np.float32)
    for steps, among in ((few, None), (many, sorted(watched))):
        if among != []:
            _fill(grid, index, names, _steps(window, names, stop - steps * STEP, stop, among), stop)
    signs = np.array([-1.0 if m.bad_when == "low" else 1.0 for m in metrics])
    means, maxima = (_by_series(each * signs) for each in grid)
    lows = np.tile(signs < 0, len(index))
    levels = _levels(fleet, tuple(metrics))
    return ValueHistory(
        keys=[(facts.server, m.name) for facts in fleet.facts for m in metrics],
        signs=np.tile(signs, len(index)),
        levels=Levels(*(np.asarray(each, np.float64) for each in levels)),
        means=means,
        maxima=np.where(lows[:, None] | np.isnan(maxima), means, maxima),
        stop=stop,
    )


def _stored(window: Window, metrics: Sequence[Metric]) -> list[str | None]:
    """Return the names of metrics; None for one whose column the writer has not added yet."""
    if all(m.name in METRIC_NAMES for m in metrics):
        return [m.name for m in metrics]
    columns = set(window.sql("SELECT * FROM metrics_5m LIMIT 0").column_names)
    return [m.name if f"{m.name}_mean" in columns else None for m in metrics]


def _by_series(values: Floats) -> Floats:
    """[servers, steps, metrics] to [servers * metrics, steps]."""
    moved: Floats = values.transpose(0, 2, 1).reshape(-1, values.shape[1])
    return moved


def _steps(
    window: Window,
    names: Sequence[str | None],
    start: datetime,
    stop: datetime,
    among: Sequence[str] | None,
) -> pa.Table:
    columns = ", ".join(f"{n}_mean, {n}_max" for n in names if n is not None)
    some = "" if among is None else "AND list_contains($servers, server)"
    parameters = {} if among is None else {"servers": list(among)}
    return window.sql(
        f"SELECT server, ts, {columns} FROM metrics_5m WHERE ts >= $start AND ts < $stop {some}",
        start=start, stop=stop, **parameters,
    )  # fmt: skip


def _fill(
    grid: Floats, index: Mapping[str, int], names: Sequence[str | None], rows: pa.Table,
    stop: datetime,
) -> None:  # fmt: skip
    """Write steps into the grid [mean and maximum, servers, steps, metrics]."""
    encoded = rows["server"].combine_chunks().dictionary_encode()
    place = np.array([index.get(name, -1) for name in encoded.dictionary.to_pylist()], np.intp)
    servers = place[np.asarray(encoded.indices)] if rows.num_rows else np.zeros(0, np.intp)
    micros = np.asarray(rows["ts"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()))
    back = (int(stop.timestamp() * 1e6) - micros) // int(STEP.total_seconds() * 1e6)
    known = servers >= 0
    for i, name in enumerate(names):
        for part, suffix in enumerate(("mean", "max")) if name else ():
            values = np.asarray(rows[f"{name}_{suffix}"].to_numpy(), np.float32)
            grid[part, servers[known], grid.shape[2] - back[known], i] = values[known]


def _levels(fleet: Fleet, metrics: tuple[Metric, ...]) -> tuple[list[float], list[float]]:
    """Warn and critical level of each series, signed."""
    pairs = [
        pair for facts, cores in zip(fleet.facts, fleet.cores, strict=True)
        for pair in _levels_of(facts.profile, cores, metrics)
    ]  # fmt: skip
    return [warn for warn, _ in pairs], [critical for _, critical in pairs]


@lru_cache(maxsize=1024)
def _levels_of(
    profile: str, cores: int | None, metrics: tuple[Metric, ...]
) -> tuple[tuple[float, float], ...]:
    by_profile = levels_for(profile, cores)
    pairs = []
    for metric in metrics:
        levels = by_profile.get(metric.name, metric.levels)
        sign = -1.0 if metric.bad_when == "low" else 1.0
        nan = float("nan")
        pairs.append((nan, nan) if levels is None else (sign * levels.warn, sign * levels.critical))
    return tuple(pairs)


def _odds(window: Window, rules: Sequence[Rule], watched: set[tuple[str, str]]) -> OddsHistory:
    """Return the odds of the series that come near to a warning, or are watched."""
    now = window.now
    start = now - max(_RECENT, timedelta(minutes=longest_close_minutes(rules) + 20))
    keys = sorted(watched)
    rows = window.reader.named(
        "windows/odds_history", {"reached": _reached(rules)}, start=start, recent=now - _RECENT,
        now=now, servers=[server for server, _ in keys], metrics=[metric for _, metric in keys],
    )  # fmt: skip
    return odds_history(rows, _issues(window) if rows.num_rows else [], now)


def _issues(window: Window) -> list[datetime]:
    """Return when odds were issued lately."""
    times: list[datetime] = window.sql(
        "SELECT DISTINCT issued_at FROM odds WHERE issued_at > $since AND issued_at <= $now "
        "ORDER BY issued_at",
        since=window.now - _RECENT, now=window.now,
    )["issued_at"].to_pylist()  # fmt: skip
    return times


def _reached(rules: Sequence[Rule]) -> str:
    """SQL condition: one of the odds could open a warning of one of the rules."""
    least: dict[str, float] = {}
    for rule in rules:
        prefix = "any" if rule.samples == "any" else "p"
        for odds in (rule.odds_at(True), rule.odds_at(False), rule.page_odds):
            for lead, p in odds.items():
                name = f"{prefix}_{lead}m"
                least[name] = min(p, least.get(name, 1.0))
    return " OR ".join(f"{name} >= {p!r}" for name, p in sorted(least.items())) or "false"


def odds_history(rows: pa.Table, issued: Sequence[datetime], now: datetime) -> OddsHistory:
    """Return rows of `odds`, sorted by server, metric and time, as arrays.

    `issued` are the times of the fleet's odds of late.
    """
    codes = [_codes(rows[name]) for name in ("server", "metric", "issued_at")]
    new = np.zeros(rows.num_rows, bool)
    new[:1] = True
    new[1:] = (np.diff(codes[0]) != 0) | (np.diff(codes[1]) != 0)
    stamps = rows["issued_at"].cast(pa.timestamp("us", "UTC"))
    micros, ticks = np.unique(np.asarray(stamps.cast(pa.int64())), return_inverse=True)
    at = np.cumsum(new) - 1, ticks.astype(np.intp)
    first = np.flatnonzero(new)
    last = np.append(first[1:], rows.num_rows)[: len(first)] - 1
    newest = rows.take(pa.array(last, pa.int64())).to_pylist()
    shape = (len(first), len(micros))
    p, any_p = (_odds_grid(rows, prefix, at, shape) for prefix in ("p", "any"))
    checked, trend = np.zeros(shape, bool), np.zeros(shape, bool)
    checked[at] = np.asarray(pc.fill_null(rows["checked"], False))
    trend[at] = np.asarray(pc.fill_null(pc.equal(rows["origin"], "trend"), False))
    times = pa.array(micros, pa.int64()).cast(stamps.type).to_pylist()
    keys = [(row["server"], row["metric"]) for row in newest]
    return OddsHistory(keys, times, p, any_p, checked, trend, newest, _cadence_minutes(issued), now)


def _codes(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    encoded = column.combine_chunks().dictionary_encode()
    return np.asarray(encoded.indices, np.int64)


def _odds_grid(
    rows: pa.Table,
    prefix: str,
    at: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]],
    shape: tuple[int, int],
) -> Floats:
    grid = np.full((*shape, len(LEAD_MINUTES)), np.nan)
    for i, lead in enumerate(LEAD_MINUTES):
        grid[at[0], at[1], i] = np.asarray(rows[f"{prefix}_{lead}m"].to_numpy(), np.float64)
    return grid


def _cadence_minutes(issued: Sequence[datetime]) -> float:
    """Return the usual time between issues; a lone one stands for a quarter of an hour."""
    gaps = [(b - a) / timedelta(minutes=1) for a, b in pairwise(issued)]
    return min(15.0, float(np.median(gaps))) if gaps else float(STEP_MINUTES)
