"""Windows: named SQL in, dense NumPy arrays out, with gaps as NaN."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from storage.config.settings import schema_of
from storage.model.grid import (
    CONTEXT_STEPS,
    HORIZON_STEPS,
    MIN_CONTEXT_STEPS,
    QUANTILE_COLUMNS,
    QUANTILES,
    STEP,
)
from storage.model.metrics import METRIC_NAMES
from storage.model.names import is_name
from storage.model.schema import STOCK, rollup_complete, table
from storage.query.reader import Reader

__all__ = [
    "Contexts", "IssuedForecasts", "LastReadings", "contexts", "forecasts", "merge_spans",
    "readings", "rollup", "servers_to_forecast",
]  # fmt: skip

Floats = npt.NDArray[np.float32]
Span = tuple[datetime, datetime]

MAX_SPANS = 8


@dataclass(frozen=True, slots=True)
class Contexts:
    """What was measured in `steps` 5-minute steps from `start` on.

    `values` is float32 [servers, steps, metrics], means, NaN where nothing was measured;
    `profiles` and `cores` go with `servers`.
    """

    servers: tuple[str, ...]
    profiles: tuple[str, ...]
    cores: tuple[int | None, ...]
    start: datetime
    values: Floats

    @property
    def stop(self) -> datetime:
        """The end of the last step: where a forecast starts."""
        steps = int(self.values.shape[1])
        return self.start + steps * STEP


@dataclass(frozen=True, slots=True)
class LastReadings:
    """The last sample of each server: when, and float32 [servers, metrics], NaN where missing."""

    servers: tuple[str, ...]
    at: tuple[datetime, ...]
    values: Floats


@dataclass(frozen=True, slots=True)
class IssuedForecasts:
    """The newest forecast of each server.

    `quantiles` is float32 [servers, 96, metrics, 7], NaN where the model abstained.
    """

    servers: tuple[str, ...]
    issued_at: tuple[datetime, ...]
    quantiles: Floats


def contexts(
    reader: Reader,
    stop: datetime,
    steps: int = CONTEXT_STEPS,
    among: Sequence[str] | None = None,
) -> Contexts:
    """The `steps` steps before `stop` (a step's start) of every known server, or of some."""
    start = stop - steps * STEP
    known = reader.query("SELECT server, profile, cores FROM servers ORDER BY server")
    # A name from before the rule waits for the writer to rename it; in a filter it stops the query.
    known = known.filter(pa.array([is_name(s) for s in known["server"].to_pylist()], pa.bool_()))
    if among is not None:
        known = known.filter(pc.is_in(known["server"], pa.array(among, pa.string())))
    servers = known["server"].to_pylist()
    first, last = (servers[0], servers[-1]) if servers else ("", "")
    rows = reader.named("windows/contexts", start=start, stop=stop, first=first, last=last)
    # Others than were asked for, and steps that were still on their way when a server was deleted.
    rows = rows.filter(pc.is_in(rows["server"], known["server"].combine_chunks()))
    values = np.full((len(servers), steps, len(METRIC_NAMES)), np.nan, np.float32)
    which = _positions(servers, rows["server"])
    step = _steps_since(start, rows["ts"])
    for i, name in enumerate(METRIC_NAMES):
        values[which, step, i] = _floats(rows[f"{name}_mean"])
    values[np.isinf(values)] = np.nan
    return Contexts(
        tuple(servers),
        tuple(p or "generic" for p in known["profile"].to_pylist()),
        tuple(known["cores"].to_pylist()),
        start,
        values,
    )


def readings(reader: Reader, now: datetime, oldest: timedelta) -> LastReadings:
    """The last sample of each server that has one no older than `oldest`."""
    rows = reader.latest(now - oldest, now)
    values = np.stack([_floats(rows[name]) for name in METRIC_NAMES], axis=1)
    return LastReadings(tuple(rows["server"].to_pylist()), tuple(rows["ts"].to_pylist()), values)


def forecasts(reader: Reader, now: datetime) -> IssuedForecasts:
    """The newest forecast of each server that reaches beyond `now`.

    A function of the user's may have written others: of metrics that are not ours, and lists of
    another length, which are left out.
    """
    columns = ", ".join(QUANTILE_COLUMNS)
    rows = reader.named(
        "windows/forecasts", {"quantiles": columns}, start=now - HORIZON_STEPS * STEP, stop=now
    )
    rows = rows.filter(pc.is_in(rows["metric"], pa.array(METRIC_NAMES)))
    servers = tuple(dict.fromkeys(rows["server"].to_pylist()))
    shape = (len(servers), HORIZON_STEPS, len(METRIC_NAMES), len(QUANTILES))
    quantiles = np.full(shape, np.nan, np.float32)
    which = _positions(servers, rows["server"])
    metric = _positions(METRIC_NAMES, rows["metric"])
    for i, column in enumerate(QUANTILE_COLUMNS):
        lists = rows[column].combine_chunks()
        whole = pc.fill_null(pc.equal(pc.list_value_length(lists), HORIZON_STEPS), False)
        made = np.asarray(whole)
        # [rows] lists of 96 values each become [rows, 96]
        flat = _floats(lists.filter(whole).flatten()).reshape(-1, HORIZON_STEPS)
        quantiles[which[made], :, metric[made], i] = flat
    issued = dict(zip(rows["server"].to_pylist(), rows["issued_at"].to_pylist(), strict=True))
    return IssuedForecasts(servers, tuple(issued[s] for s in servers), quantiles)


def servers_to_forecast(
    reader: Reader, issued_at: datetime, silent: timedelta, after: str, limit: int
) -> list[str]:
    """Return up to `limit` names of servers after `after` to forecast from `issued_at`, in order.

    These are servers without a row of that origin, and servers that abstained at it and whose
    context has grown since to one that a forecast can be made from: at least 12 steps, the newest
    of them in the last `silent`.
    """
    counts = ", ".join(f"count({name}_mean)" for name in METRIC_NAMES)
    names: list[str] = reader.named(
        "windows/servers_to_forecast", {"steps": f"greatest({counts})"}, issued_at=issued_at,
        start=issued_at - CONTEXT_STEPS * STEP, heard_since=issued_at - silent,
        least=MIN_CONTEXT_STEPS, after=after, limit=limit,
    )["server"].to_pylist()  # fmt: skip
    return names


def rollup(reader: Reader, cursor: datetime, until: datetime) -> tuple[pa.Table, datetime]:
    """The steps before `until` to write anew since the commit at `cursor`, and the next cursor.

    Of the 14 metrics and the settings' own. A step is left as it is held when that was made from
    as many samples: of old steps the raw samples are gone, and a late one alone is not the mean.
    """
    names = _measured(reader)
    pieces = {
        "metrics": "[" + ", ".join(f"'{name}'" for name in names) + "]",
        "stored_counts": rollup_complete(names),
    }
    touched = reader.named("touched", cursor=cursor, until=until).to_pylist()
    if not touched:
        return table("metrics_5m").arrow.empty_table(), cursor
    parts = [
        reader.named("rollup", pieces, start=start, stop=stop)
        for start, stop in merge_spans((each["start"], each["stop"]) for each in touched)
    ]
    return pa.concat_tables(parts), touched[0]["cursor"]


def merge_spans(spans: Iterable[Span]) -> list[Span]:
    """Spans, given in the order of their starts, with those put together that touch each other.

    More than `MAX_SPANS` become one: each is a query, and to look at more rows costs less.
    """
    found: list[Span] = []
    for start, stop in spans:
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(stop, found[-1][1])
        else:
            found.append((start, stop))
    return found if len(found) <= MAX_SPANS else [(found[0][0], found[-1][1])]


def _measured(reader: Reader) -> tuple[str, ...]:
    """The metrics of the settings that the writer has made columns for."""
    schema = schema_of(reader.folders)
    if schema.metrics == STOCK.metrics:
        return METRIC_NAMES
    held = set(reader.query("SELECT * FROM metrics_5m LIMIT 0").column_names)
    return tuple(m.name for m in schema.metrics if f"{m.name}_count" in held)


def _positions(names: tuple[str, ...] | list[str], values: pa.ChunkedArray) -> npt.NDArray[np.intp]:
    """Where each of `values` stands in `names`."""
    index = {name: i for i, name in enumerate(names)}
    encoded = values.combine_chunks().dictionary_encode()
    places = np.array([index[name] for name in encoded.dictionary.to_pylist()], np.intp)
    return places[np.asarray(encoded.indices)] if len(values) else np.zeros(0, np.intp)


def _steps_since(start: datetime, ts: pa.ChunkedArray) -> npt.NDArray[np.intp]:
    micros = np.asarray(ts.cast(pa.timestamp("us", "UTC")).cast(pa.int64()))
    origin = int(start.timestamp() * 1_000_000)
    return ((micros - origin) // int(STEP.total_seconds() * 1_000_000)).astype(np.intp)


def _floats(column: pa.ChunkedArray | pa.Array) -> Floats:
    return np.asarray(column.to_numpy(zero_copy_only=False), np.float32)
