"""Sparklines of the fleet page: the worst metric of each server, 24 h and 8 h ahead."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

from storage.model.metrics import METRIC_NAMES
from storage.query.reader import Reader
from web.display.metric_display import INDICATORS, MetricDisplay, displayed_levels
from web.display.recommendations import worst_metric
from web.display.server_status import ServerStatus
from web.display.svg import Values, line_path, rows_of
from web.lake_session import sql

__all__ = ["Series", "Sparkline", "read_series", "shown_metric", "sparkline"]

HALF_HOUR = timedelta(minutes=30)
SLOTS = 48  # half hours of the past
SLOT_PX = 2
HEIGHT_PX = 30
PERCENT = 100.0


@dataclass(frozen=True, slots=True)
class Series:
    """Half-hour means of 24 h, and the forecast medians that follow; NaN where there are none."""

    past: Values
    ahead: Values


@dataclass(frozen=True, slots=True)
class Sparkline:
    """A small chart: SVG path data of past and forecast, and the row of the critical level."""

    metric: MetricDisplay
    past: str
    ahead: str
    level_row: int | None
    last: float | None


def shown_metric(server: ServerStatus) -> str:
    """Return the metric to draw: the worst one, else the first indicator."""
    worst = worst_metric(server)
    return worst if worst in METRIC_NAMES else INDICATORS[0].name


def read_series(
    reader: Reader, wanted: Iterable[tuple[str, str]], now: datetime, issued: datetime | None
) -> dict[tuple[str, str], Series]:
    """Return the series of pairs of server and metric, from two queries in one snapshot."""
    pairs = list(wanted)
    if not pairs:
        return {}
    servers = sorted({server for server, _ in pairs})
    metrics = sorted({metric for _, metric in pairs})
    past = _past(reader, servers, metrics, now)
    ahead = _ahead(reader, servers, metrics, now, issued) if issued is not None else {}
    none = np.full(SLOTS, np.nan, dtype=np.float32)
    return {pair: Series(past.get(pair, none), ahead.get(pair, none[:0])) for pair in pairs}


def sparkline(server: ServerStatus, display: MetricDisplay, series: Series) -> Sparkline:
    """Draw one metric of a server; a stale one has no forecast."""
    past, ahead = (_displayed(values, display) for values in (series.past, series.ahead))
    level = displayed_levels(server.profile, server.cores).get(display.name, display.metric.levels)
    critical = level.critical if level else None
    top = _top(display, past, ahead, critical)
    drawn = server.has_forecast and not server.stale and len(ahead)
    known = past[~np.isnan(past)]
    return Sparkline(
        display, _path(past, top), _path(ahead, top, SLOTS * SLOT_PX) if drawn else "",
        round(HEIGHT_PX * (1 - critical / top)) if critical is not None else None,
        float(known[-1]) if len(known) else None,
    )  # fmt: skip


def _displayed(values: Values, display: MetricDisplay) -> Values:
    return 100 - values if display.mirrored else values


def _top(display: MetricDisplay, past: Values, ahead: Values, critical: float | None) -> float:
    """The value at the top edge."""
    if display.unit == "%":
        return PERCENT
    known = np.concatenate([past, ahead])
    largest = float(np.nanmax(known)) if not np.isnan(known).all() else 0.0
    return max(largest, critical or 0.0) * 1.05 or 1.0


def _path(values: Values, top: float, first: int = 0) -> str:
    return line_path(rows_of(values, 0, top, HEIGHT_PX), first, SLOT_PX)


def _past(
    reader: Reader, servers: Sequence[str], metrics: Sequence[str], now: datetime
) -> Mapping[tuple[str, str], Values]:
    means = ", ".join(f"avg({metric}_mean) AS {metric}" for metric in metrics)
    text = sql("sparklines").replace("{means}", means)
    slots = reader.query(text, start=now - timedelta(hours=24), servers=servers)
    return _grid(slots, metrics)


def _grid(slots: pa.Table, metrics: Sequence[str]) -> Mapping[tuple[str, str], Values]:
    codes = slots.column("server").combine_chunks().dictionary_encode()
    names = codes.dictionary.to_pylist()
    where = (codes.indices.to_numpy(), slots.column("slot").to_numpy().clip(0, SLOTS - 1))
    lines = {}
    for metric in metrics:
        grid = np.full((len(names), SLOTS), np.nan, dtype=np.float32)
        grid[where] = slots.column(metric).to_numpy()
        lines.update({(name, metric): grid[i] for i, name in enumerate(names)})
    return lines


def _ahead(
    reader: Reader, servers: Sequence[str], metrics: Sequence[str], now: datetime,
    issued: datetime,
) -> Mapping[tuple[str, str], Values]:  # fmt: skip
    elapsed = max(0, (now - issued) // HALF_HOUR)
    rows = reader.query(
        sql("sparklines_ahead"), issued=issued, servers=servers, metrics=metrics
    ).to_pylist()
    return {
        (row["server"], row["metric"]): np.array(row["medians"][elapsed:], dtype=np.float32)
        for row in rows
    }
