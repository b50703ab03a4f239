"""Breaches: when metrics were at or over their warn and critical levels."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from functions.engine.function import Batch, function
from functions.engine.triggers import every, rows
from functions.engine.window import Window
from functions.rules.acted_on import ACTS, Act, acted_steps, reboots
from functions.rules.fleet_state import NAMES, SIGNS, Floats, bands_of, judged
from functions.rules.odds.breaches import CARRY_STEPS, Breach, breaches
from storage.model.grid import HORIZON_STEPS, STEP, floor_step
from storage.model.metrics import METRIC_NAMES
from storage.model.schema import table
from storage.query import due_forecasts
from storage.query.windows import Contexts

__all__ = ["breach"]

# History is read in pieces of a day.
PIECE: Final = timedelta(days=1)
_UPTIME: Final = METRIC_NAMES.index("uptime_days")
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
    made = breach_rows(history, CARRY_STEPS, stored, _acts(window, history))
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


def _acts(window: Window, history: Contexts) -> list[Act]:
    """Return what people did in the time of the history, by its steps."""
    spans = due_forecasts.acts(window.reader, ACTS, history.start, history.stop)
    return [
        Act(
            (span.start - history.start) // STEP, (span.stop - history.start) // STEP,
            span.server, span.pattern, span.metric,
        ) for span in spans
    ]  # fmt: skip


def breach_rows(
    history: Contexts, carry: int, stored: Iterable[Row], acts: Sequence[Act]
) -> list[Row]:
    """Return the rows of `breaches` that the steps of `history` after the first `carry` change.

    `stored` are the rows so far that end in it: one that goes on keeps its start, and one that late
    steps made part of another now ends where it starts. One is acted on if somebody acted, or the
    server was started, in the 8 hours before it.
    """
    values, bands = judged(history.values), bands_of(history.profiles, history.cores)
    earlier: dict[tuple[str, ...], list[Row]] = {}
    for row in stored:
        earlier.setdefault(_series(row), []).append(row)
    acted = acted_steps(acts, history.servers, NAMES, history.values.shape[1])
    acted |= reboots(history.values[:, :, _UPTIME])[:, None]
    made = [
        _continued(row, earlier.get(_series(row), ()))
        for level, limits in (("critical", bands.critical), ("warn", bands.warn))
        for row in _seen(history, values, limits, level, carry, acted)
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
    history: Contexts,
    values: Floats,
    limits: Floats,
    level: str,
    carry: int,
    acted: npt.NDArray[np.bool_],
) -> Iterator[Row]:
    for metric, name in enumerate(NAMES):
        of_metric = values[:, :, metric]
        for each in breaches(of_metric, limits[:, metric]):
            if each.stop > carry:
                worst = np.nanmax(of_metric[each.row, each.start : each.stop])
                before = slice(max(each.start - HORIZON_STEPS, 0), each.start + 1)
                yield {
                    **_times(history, each),
                    "metric": name,
                    "level": level,
                    "threshold": float(SIGNS[metric] * limits[each.row, metric]),
                    "peak": float(SIGNS[metric] * worst),
                    "acted_on": bool(acted[each.row, metric, before].any()),
                }


def _times(history: Contexts, each: Breach) -> Row:
    return {
        "server": history.servers[each.row],
        "ts": history.start + each.start * STEP,
        "ended_at": history.start + each.stop * STEP,
    }


def _continued(row: Row, stored: Iterable[Mapping[str, Any]]) -> Row:
    """Return the row with what is stored of the breach that it goes on with."""
    for each in stored:
        if each["ts"] < row["ts"] <= each["ended_at"]:
            sign = SIGNS[NAMES.index(row["metric"])]
            peak = max(row["peak"], each["peak"], key=lambda value: sign * value)
            return row | {"ts": each["ts"], "peak": peak, "acted_on": each["acted_on"]}
    return row
