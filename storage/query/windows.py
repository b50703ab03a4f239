"""Windows: inputs of functions as dense NumPy arrays, with gaps as NaN."""

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
from storage.model.schema import STOCK, rollup_complete, rollup_merged, table
from storage.query.forecast_rows import RECIPE_COLUMNS, forecast_rows
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
    """Means of the 5-minute steps from `start` on, of each server.

    `values` is float32 [servers, steps, metrics], NaN where there is no sample; `profiles` and
    `cores` are in the order of `servers`.
    """

    servers: tuple[str, ...]
    profiles: tuple[str, ...]
    cores: tuple[int | None, ...]
    start: datetime
    values: Floats

    @property
    def stop(self) -> datetime:
        """The end of the last step, at which a forecast starts."""
        steps = int(self.values.shape[1])
        return self.start + steps * STEP


@dataclass(frozen=True, slots=True)
class LastReadings:
    """The last sample of each server: its time, and float32 [servers, metrics], NaN if missing."""

    servers: tuple[str, ...]
    at: tuple[datetime, ...]
    values: Floats


@dataclass(frozen=True, slots=True)
class IssuedForecasts:
    """The newest forecast of each server, as it was served.

    `quantiles` is float32 [servers, 96, metrics, 7], NaN where none was served.
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
    """The `steps` steps before `stop` (a step's start) of all servers, or of those in `among`."""
    start = stop - steps * STEP
    known = reader.query("SELECT server, profile, cores FROM servers ORDER BY server")
    # An invalid name of an earlier release, until the writer renames it, would stop the query.
    known = known.filter(pa.array([is_name(s) for s in known["server"].to_pylist()], pa.bool_()))
    if among is not None:
        known = known.filter(pc.is_in(known["server"], pa.array(among, pa.string())))
    servers = known["server"].to_pylist()
    first, last = (servers[0], servers[-1]) if servers else ("", "")
    rows = reader.named("windows/contexts", start=start, stop=stop, first=first, last=last)
    # Rows of other servers in the range, and late rows of erased servers.
    rows = rows.filter(pc.is_in(rows["server"], known["server"].combine_chunks()))
    values = np.full((len(servers), steps, len(METRIC_NAMES)), np.nan, np.float32)
    server = _positions(servers, rows["server"])
    step = _steps_since(start, rows["ts"])
    for i, name in enumerate(METRIC_NAMES):
        values[server, step, i] = _floats(rows[f"{name}_mean"])
    values[np.isinf(values)] = np.nan
    return Contexts(
        tuple(servers),
        tuple(p or "generic" for p in known["profile"].to_pylist()),
        tuple(known["cores"].to_pylist()),
        start,
        values,
    )


def readings(reader: Reader, now: datetime, oldest: timedelta) -> LastReadings:
    """The last sample of each server that has one in the last `oldest`."""
    rows = reader.latest(now - oldest, now)
    values = np.stack([_floats(rows[name]) for name in METRIC_NAMES], axis=1)
    return LastReadings(tuple(rows["server"].to_pylist()), tuple(rows["ts"].to_pylist()), values)


def forecasts(
    reader: Reader, now: datetime, metrics: Sequence[str] = METRIC_NAMES
) -> IssuedForecasts:
    """The newest forecast of each server that reaches beyond `now`; NaN but for `metrics`.

    Forecasts by users' functions of other metrics or of another length are left out.
    """
    columns = ", ".join((*QUANTILE_COLUMNS, *RECIPE_COLUMNS))
    rows = reader.named(
        "windows/forecasts", {"columns": columns}, start=now - HORIZON_STEPS * STEP, stop=now,
        metrics=list(metrics),
    )  # fmt: skip
    servers = tuple(dict.fromkeys(rows["server"].to_pylist()))
    shape = (len(servers), HORIZON_STEPS, len(METRIC_NAMES), len(QUANTILES))
    quantiles = np.full(shape, np.nan, np.float32)
    served = forecast_rows(rows).served()
    served[np.asarray(pc.equal(rows["state"], "abstained"))] = np.nan
    server, metric = _positions(servers, rows["server"]), _positions(METRIC_NAMES, rows["metric"])
    quantiles[server, :, metric] = served
    issued = dict(zip(rows["server"].to_pylist(), rows["issued_at"].to_pylist(), strict=True))
    return IssuedForecasts(servers, tuple(issued[s] for s in servers), quantiles)


def servers_to_forecast(
    reader: Reader, issued_at: datetime, stale_after: timedelta, after: str, limit: int
) -> list[str]:
    """Return up to `limit` names of servers after `after` to forecast from `issued_at`, in order.

    These are servers without a row of that origin, and servers that abstained at it and whose
    context has grown since to one that a forecast can be made from: at least 12 steps, the newest
    of them in the last `stale_after`.
    """
    counts = ", ".join(f"count({name}_mean)" for name in METRIC_NAMES)
    names: list[str] = reader.named(
        "windows/servers_to_forecast", {"steps": f"greatest({counts})"}, issued_at=issued_at,
        start=issued_at - CONTEXT_STEPS * STEP, fresh_since=issued_at - stale_after,
        least=MIN_CONTEXT_STEPS, after=after, limit=limit,
    )["server"].to_pylist()  # fmt: skip
    return names


def rollup(reader: Reader, cursor: datetime, until: datetime) -> tuple[pa.Table, datetime]:
    """Roll-ups of steps before `until` that commits after `cursor` changed, and the next cursor.

    They have the 14 metrics and the settings' own. Of each metric, a stored roll-up of at least as
    many samples is kept: the raw samples of old steps were deleted, and a late one alone is not the
    mean.
    """
    names = _stored_metrics(reader)
    pieces = {
        "metrics": "[" + ", ".join(f"'{name}'" for name in names) + "]",
        "stored_counts": rollup_complete(names),
        "merged": rollup_merged(names),
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
    """Merge spans that touch or overlap; they must be sorted by their starts.

    More than `MAX_SPANS` become one, because each is a query and reading more rows costs less.
    """
    merged: list[Span] = []
    for start, stop in spans:
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(stop, merged[-1][1])
        else:
            merged.append((start, stop))
    return merged if len(merged) <= MAX_SPANS else [(merged[0][0], merged[-1][1])]


def _stored_metrics(reader: Reader) -> tuple[str, ...]:
    """The metrics of the settings whose columns the writer has added."""
    schema = schema_of(reader.folders)
    if schema.metrics == STOCK.metrics:
        return METRIC_NAMES
    columns = set(reader.query("SELECT * FROM metrics_5m LIMIT 0").column_names)
    return tuple(m.name for m in schema.metrics if f"{m.name}_count" in columns)


def _positions(names: tuple[str, ...] | list[str], values: pa.ChunkedArray) -> npt.NDArray[np.intp]:
    """The index in `names` of each of `values`."""
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
