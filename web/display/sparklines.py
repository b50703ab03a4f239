"""Sparklines of the fleet page: CPU used and memory of each server, 24 h and 8 h ahead."""

from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

from storage.query.reader import Reader
from web.display.metric_display import display_of
from web.display.server_status import ServerStatus
from web.display.svg import Values, line_path, rows_of
from web.lake_session import sql

__all__ = ["SPARKLINE_METRICS", "Sparklines"]

HALF_HOUR = timedelta(minutes=30)
SLOTS = 48  # half hours of the past
SLOT_PX = 2
HEIGHT_PX = 30
# CSS class of each metric's line.
SPARKLINE_METRICS = {"cpu_idle_pct": "cpu", "mem_used_pct": "mem"}


class Sparklines:
    """The sparklines of all servers, from two queries in one snapshot."""

    def __init__(self, reader: Reader, now: datetime, issued: datetime | None) -> None:
        self._past = _past_lines(reader.query(sql("sparklines"), start=now - timedelta(hours=24)))
        self._ahead: dict[tuple[str, str], list[float]] = {}
        if issued is not None:
            elapsed = max(0, (now - issued) // HALF_HOUR)
            for row in reader.query(sql("sparklines_ahead"), issued=issued).to_pylist():
                self._ahead[row["server"], row["metric"]] = row["medians"][elapsed:]

    def paths(self, server: ServerStatus) -> dict[str, str]:
        """Return SVG path data by CSS class: `cpu`, `mem`, `cpu_ahead` and `mem_ahead`."""
        paths = {}
        for metric, css_class in SPARKLINE_METRICS.items():
            past = self._past.get((server.server, metric))
            if past is not None:
                paths[css_class] = _path(past, metric)
            ahead = self._ahead.get((server.server, metric))
            if ahead and server.has_forecast and not server.stale:
                medians = np.array(ahead, dtype=np.float32)
                paths[f"{css_class}_ahead"] = _path(medians, metric, SLOTS * SLOT_PX)
        return paths


def _path(values: Values, metric: str, first: int = 0) -> str:
    displayed = 100 - values if display_of(metric).mirrored else values
    return line_path(rows_of(displayed, 0, 100, HEIGHT_PX), first, SLOT_PX)


def _past_lines(slots: pa.Table) -> dict[tuple[str, str], Values]:
    """Return the half-hour means by server and metric, NaN where there are none."""
    codes = slots.column("server").combine_chunks().dictionary_encode()
    names = codes.dictionary.to_pylist()
    where = (codes.indices.to_numpy(), slots.column("slot").to_numpy().clip(0, SLOTS - 1))
    lines = {}
    for metric in SPARKLINE_METRICS:
        grid = np.full((len(names), SLOTS), np.nan, dtype=np.float32)
        grid[where] = slots.column(metric).to_numpy()
        lines.update({(name, metric): grid[i] for i, name in enumerate(names)})
    return lines
