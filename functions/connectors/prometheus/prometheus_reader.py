"""Prometheus reader: reads a fleet's scrapes window by window, each once."""

import time
import weakref
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from functions.connectors.connector import Page, ReadOptions, Unreachable
from functions.connectors.lookback import LookbackWindow, SeenKeys
from functions.connectors.prometheus.prometheus_connection import PrometheusConnection
from functions.connectors.prometheus.range_api import RangeApi, RangeTooLarge
from functions.connectors.prometheus.scrapes import Scrapes, ScrapeWindow
from functions.normalize.time_bounds import resumed
from storage.model.periods import parse_period

__all__ = ["MAPPING", "PrometheusReader", "connect"]

# What `Scrapes` adds to the fields of the stock mapping.
MAPPING = {"disk_volume": {"field": "disk_volume"}, "net_links": {"field": "net_links"}}

# Prometheus returns at most 11,000 points per series; a window has one point more than steps.
MAX_STEPS = 10_999
FIRST_STEPS, GROWTH = 100, 2
# In all responses of a window: about 7,000 scrapes, or 40 MB of memory while they are read.
MAX_POINTS = 200_000
# For all attempts at one window, so that a run stays within its deadline.
MAX_WINDOW_S = 25.0
MIN_STEP = timedelta(seconds=15)
# Scrapes are stored late: each poll reads some steps again, and some polls the whole overlap.
LOOKBACK_STEPS = 2


def connect(connection: PrometheusConnection, options: ReadOptions) -> "PrometheusReader":
    """Return a reader of the fleet; sends no request yet. Raises SourceInvalid."""
    return PrometheusReader(connection, options)


class PrometheusReader:
    """Connector for the scrapes of a fleet.

    The position holds the newest scrape handed over, as `at` in epoch microseconds, and the number
    of pages so far, so that it differs after each page.
    """

    def __init__(self, connection: PrometheusConnection, options: ReadOptions) -> None:
        self._api = RangeApi(connection)
        self._close_api = weakref.finalize(self, self._api.close)
        self._scrapes = Scrapes(self._api, connection, options.rules)
        self._connection, self._options = connection, options
        step = parse_period(connection.step) if connection.step else max(options.every, MIN_STEP)
        self._step = max(1, round(step.total_seconds()))
        self._overlap = parse_period(connection.overlap)
        self._window_steps = FIRST_STEPS
        self._position: dict[str, int] | None = None
        self._resume_at: int | None = None  # where the last poll stopped in the middle
        self._restart_from(None)

    def close(self) -> None:
        """Close the connections to the server."""
        self._close_api()

    def pages(self, position: Any | None, now: datetime) -> Iterator[Page]:
        """Yield the scrapes after `position`, one page a window; raises Unreachable."""
        if position != self._position:
            self._restart_from(position)
        end = self._on_grid(now)
        at = self._resume_at or self._on_grid(self._since(now))
        while at < end:
            at, window = self._read_window(at, end)
            self._resume_at = at
            yield self._page(window)
        self._resume_at = None
        if self._position is None:
            yield self._nothing_found(now)

    def _restart_from(self, position: dict[str, int] | None) -> None:
        self._position = position
        self._seen = SeenKeys()
        self._lookback = LookbackWindow(self._overlap, self._short_lookback)
        self._resume_at = None

    def _since(self, now: datetime) -> datetime:
        """Where the next poll begins: some steps before the newest scrape, or a whole overlap."""
        newest = (self._position or {}).get("at")
        if newest is None:
            return now - self._options.history
        full = self._lookback.full_read_due(now)
        if full:
            self._lookback.last_full_read = now
        span = max(self._short_lookback, self._lookback.span(full))
        last = datetime.fromtimestamp(newest / 1e6, UTC)
        since = resumed(last, now, self._options.limits.max_ahead)
        if since < last and self._position is not None:
            self._position = self._position | {"at": round(since.timestamp() * 1e6)}
        return since - span

    def _on_grid(self, ts: datetime) -> int:
        return int(ts.timestamp()) // self._step * self._step

    def _read_window(self, at: int, end: int) -> tuple[int, ScrapeWindow]:
        """Read a window from `at` on, a smaller one if the server refuses; return its end too."""
        deadline = time.monotonic() + MAX_WINDOW_S
        while True:
            steps = min(self._window_steps, (end - at) // self._step)
            until = at + steps * self._step
            live = until > end - self._overlap.total_seconds()
            try:
                window = self._scrapes.read(range(at, until + 1, self._step), live, deadline)
            except RangeTooLarge as error:
                if steps == 1 or time.monotonic() > deadline:
                    raise Unreachable(str(error)) from error
                self._window_steps = max(1, steps // 4)
                continue
            self._adjust_steps(window.points, steps)
            return until, window

    def _adjust_steps(self, points: int, steps: int) -> None:
        """Aim the next window at MAX_POINTS, at most GROWTH times as long as this one."""
        target = MAX_POINTS * steps // points if points else MAX_STEPS
        self._window_steps = max(1, min(target, GROWTH * steps, MAX_STEPS))

    def _page(self, window: ScrapeWindow) -> Page:
        servers = window.scrapes["server"].to_pylist()
        times = window.scrapes["timestamp"].cast(pa.int64()).to_pylist()
        new = self._seen.add(zip(servers, times, strict=True), times)
        fresh = window.scrapes.filter(pa.array(new, pa.bool_()))
        if fresh.num_rows:
            self._advance(fresh["timestamp"].cast(pa.int64())[-1].as_py())
        return Page(_without_empty_columns(fresh), self._position, tuple(window.notes))

    def _advance(self, ts_us: int) -> None:
        last = self._position or {"at": ts_us, "page": 0}
        newest = max(last["at"], ts_us)
        self._position = {"at": newest, "page": last["page"] + 1}
        bound = newest - 2 * max(self._overlap, self._short_lookback) // timedelta(microseconds=1)
        self._seen.discard_before(bound)

    @property
    def _short_lookback(self) -> timedelta:
        return timedelta(seconds=LOOKBACK_STEPS * self._step)

    def _nothing_found(self, now: datetime) -> Page:
        since = now - self._options.history
        self._position = {"at": round(since.timestamp() * 1e6), "page": 0}
        return Page((), self._position, (
            f"no series {self._scrapes.clock} since {since:%Y-%m-%d %H:%M}: check job, match and "
            "clock",
        ))  # fmt: skip


def _without_empty_columns(table: pa.Table) -> pa.Table:
    """`table` without the columns that have no value: no scrape of the page has that field."""
    return table.select([
        name for name, column in zip(table.column_names, table.columns, strict=True)
        if column.null_count < table.num_rows
    ])  # fmt: skip
