"""Breaches: when metrics were at or over their warn and critical levels."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any, Final

import numpy as np
import pyarrow as pa

from functions.engine.function import Batch, function
from functions.engine.triggers import every, rows
from functions.engine.window import Window
from functions.rules.fleet_state import NAMES, SIGNS, Floats, bands_of, judged
from functions.rules.odds.breaches import CARRY_STEPS, Breach, breaches
from storage.model.grid import STEP, floor_step
from storage.model.schema import table
from storage.query.windows import Contexts

__all__ = ["breach"]

# History is read in pieces of a day.
PIECE: Final = timedelta(days=1)
# Somebody who did one of these in so long a time before a breach acted on it.
ACTIONS: Final = ("acting", "deploy", "remediation")
ACTED_BEFORE: Final = timedelta(hours=8)
_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Span:
    """The time to read: it was changed by commits up to `commit`, and ends at `end`."""

    commit: datetime
    start: datetime
    end: datetime

    @property
    def stop(self) -> datetime:
        return min(self.start + PIECE, self.end)

    @property
    def cursor(self) -> str:
        """The cursor at which the next run continues; with `start` while some is left."""
        left = [self.stop] if self.stop < self.end else []
        return " ".join(ts.isoformat() for ts in (self.commit, *left))


@function(on=(rows("metrics_5m", pause="10s"), every("5m")), writes="breaches")
def breach(window: Window, cursor: str | None) -> Batch:
    """Note what was at its level in the steps that came since, late ones included."""
    span = _span(window, cursor)
    if span is None:
        return Batch()
    carry = CARRY_STEPS * STEP
    steps = int((span.stop - span.start) / STEP)
    history = window.contexts(span.stop, CARRY_STEPS + steps)
    stored = window.sql(
        "SELECT * FROM breaches WHERE ended_at > ts AND ended_at >= $since",
        since=span.start - carry,
    ).to_pylist()
    made = breach_rows(history, CARRY_STEPS, stored, _actions(window, span.start - carry))
    return Batch(
        {"breaches": pa.Table.from_pylist(made, table("breaches").arrow)} if made else {},
        cursor=span.cursor, window_key=span.stop.isoformat(), more=span.stop < span.end,
    )  # fmt: skip


def _span(window: Window, cursor: str | None) -> _Span | None:
    """Return the time to read next; None when nothing came since the cursor."""
    since, *left = [datetime.fromisoformat(ts) for ts in (cursor or "").split()] or [_BEGINNING]
    (row,) = window.sql(
        "SELECT max(ts) AS commit, min(first_ts) AS start FROM segments "
        "WHERE table_name = 'metrics_5m' AND rows_committed > 0 AND ts > $since",
        since=since,
    ).to_pylist()
    starts = [*left, *([floor_step(row["start"])] if row["start"] else [])]
    if not starts:
        return None
    span = _Span(row["commit"] or since, min(starts), floor_step(window.now))
    return span if span.start < span.end else None


def _actions(window: Window, since: datetime) -> list[Row]:
    """Return the marks of people's acts since a time."""
    marks: list[Row] = window.sql(
        "SELECT server, pattern, metric, coalesce(starts_at, ts) AS ts FROM marks "
        "WHERE list_contains($kinds, kind) AND coalesce(starts_at, ts) >= $since",
        kinds=list(ACTIONS),
        since=since - ACTED_BEFORE,
    ).to_pylist()
    return marks


def breach_rows(
    history: Contexts, carry: int, stored: Iterable[Row], actions: Sequence[Row]
) -> list[Row]:
    """Return the rows of `breaches` that the steps of `history` after the first `carry` change.

    `stored` are the rows so far that end in it: one that goes on keeps its start, and one that late
    steps made part of another now ends where it starts.
    """
    values, bands = judged(history.values), bands_of(history.profiles, history.cores)
    earlier: dict[tuple[str, ...], list[Row]] = {}
    for row in stored:
        earlier.setdefault(_series(row), []).append(row)
    made = [
        _continued(row, earlier.get(_series(row), ()))
        | {"acted_on": any(_acts_on(action, row) for action in actions)}
        for level, limits in (("critical", bands.critical), ("warn", bands.warn))
        for row in _seen(history, values, limits, level, carry)
    ]
    starts = {(*_series(row), row["ts"]) for row in made}
    cut = history.start + carry * STEP
    return made + [
        row | {"ended_at": row["ts"]}
        for rows in earlier.values() for row in rows
        if row["ts"] >= cut and (*_series(row), row["ts"]) not in starts
    ]  # fmt: skip


def _series(row: Mapping[str, Any]) -> tuple[str, ...]:
    return row["server"], row["metric"], row["level"]


def _seen(
    history: Contexts, values: Floats, limits: Floats, level: str, carry: int
) -> Iterator[Row]:
    for metric, name in enumerate(NAMES):
        of_metric = values[:, :, metric]
        for each in breaches(of_metric, limits[:, metric]):
            if each.stop > carry:
                worst = np.nanmax(of_metric[each.row, each.start : each.stop])
                yield {
                    **_times(history, each),
                    "metric": name,
                    "level": level,
                    "threshold": float(SIGNS[metric] * limits[each.row, metric]),
                    "peak": float(SIGNS[metric] * worst),
                }


def _times(history: Contexts, each: Breach) -> Row:
    return {
        "server": history.servers[each.row],
        "ts": history.start + each.start * STEP,
        "ended_at": history.start + each.stop * STEP,
    }


def _continued(row: Row, stored: Iterable[Mapping[str, Any]]) -> Row:
    """Return the row with the start and the peak of the stored breach that it goes on with."""
    for each in stored:
        if each["ts"] < row["ts"] <= each["ended_at"]:
            sign = SIGNS[NAMES.index(row["metric"])]
            peak = max(row["peak"], each["peak"], key=lambda value: sign * value)
            return row | {"ts": each["ts"], "peak": peak}
    return row


def _acts_on(action: Mapping[str, Any], row: Row) -> bool:
    if not row["ts"] - ACTED_BEFORE <= action["ts"] <= row["ts"]:
        return False
    if action["metric"] not in (None, row["metric"]):
        return False
    if action["server"]:
        return bool(action["server"] == row["server"])
    return bool(action["pattern"]) and fnmatchcase(row["server"], action["pattern"])
