"""The adapter of Prometheus: range queries over node_exporter's series, and only reads."""

import time
import weakref
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from functions.connectors.connector import Page, ReadOptions, Unreachable
from functions.connectors.lookback import LookbackWindow
from functions.connectors.prometheus.prometheus_connection import PrometheusConnection
from functions.connectors.prometheus.range_api import RangeApi, RangeTooLarge
from functions.connectors.prometheus.scrapes import Row, Scrapes, ScrapeWindow
from storage.model.periods import parse_period

__all__ = ["PrometheusConnection", "connect"]

# Prometheus answers with 11,000 points a series at most; a window has one step more than it covers.
MAX_STEPS = 10_999
FIRST_STEPS, GROWTH = 100, 2
POINTS = 200_000  # of all answers of a window: about 7,000 scrapes, or 40 MB while they are read
# All tries at a window together take no longer, so that a run stays within its deadline.
PATIENCE_S = 25.0
LEAST_STEP = timedelta(seconds=15)
# Each look goes back over some steps, since scrapes land late, and now and then all the way.
STEPS_BACK = 2


def connect(connection: PrometheusConnection, wanted: ReadOptions) -> "PrometheusReader":
    """Get ready; nothing is asked of the server yet."""
    return PrometheusReader(connection, wanted)


class PrometheusReader:
    """The scrapes of a fleet, read on from the newest that was handed over."""

    def __init__(self, connection: PrometheusConnection, wanted: ReadOptions) -> None:
        self._api = RangeApi(connection)
        self._hang_up = weakref.finalize(self, self._api.close)
        self._scrapes = Scrapes(self._api, connection)
        self._connection, self._wanted = connection, wanted
        step = parse_period(connection.step) if connection.step else max(wanted.every, LEAST_STEP)
        self._step = max(1, round(step.total_seconds()))
        self._overlap = parse_period(connection.overlap)
        self._steps = FIRST_STEPS
        self._position: dict[str, int] | None = None
        self._resume: int | None = None  # where a look was left in the middle
        self._begin(None)

    def close(self) -> None:
        """Let go of the server."""
        self._hang_up()

    def pages(self, position: Any | None, now: datetime) -> Iterator[Page]:
        """What was scraped after `position`, window by window."""
        if position != self._position:
            self._begin(position)
        end = self._on_grid(now)
        at = self._resume or self._on_grid(self._since(now))
        while at < end:
            at, window = self._window(at, end)
            self._resume = at
            yield self._page(window)
        self._resume = None
        if self._position is None:
            yield self._nothing(now)

    def _begin(self, position: dict[str, int] | None) -> None:
        self._position = position
        self._given: dict[Row, None] = {}
        self._looks = LookbackWindow(self._overlap, self._back)
        self._resume = None

    def _since(self, now: datetime) -> datetime:
        """Where the next look begins: some steps before the newest scrape, or all the overlap."""
        newest = (self._position or {}).get("at")
        if newest is None:
            return now - self._wanted.history
        far = self._looks.due(now)
        if far:
            self._looks.looked = now
        back = max(self._back, self._looks.span(far))
        return datetime.fromtimestamp(newest / 1e6, UTC) - back

    def _on_grid(self, moment: datetime) -> int:
        return int(moment.timestamp()) // self._step * self._step

    def _window(self, at: int, end: int) -> tuple[int, ScrapeWindow]:
        """Read as much as answers well, less where the server finds it too much; its end."""
        give_up = time.monotonic() + PATIENCE_S
        while True:
            steps = min(self._steps, (end - at) // self._step)
            until = at + steps * self._step
            live = until > end - self._overlap.total_seconds()
            try:
                window = self._scrapes.read(range(at, until + 1, self._step), live, give_up)
            except RangeTooLarge as error:
                if steps == 1 or time.monotonic() > give_up:
                    raise Unreachable(str(error)) from error
                self._steps = max(1, steps // 4)
                continue
            self._suit(window.points, steps)
            return until, window

    def _suit(self, points: int, steps: int) -> None:
        """Take as many steps next time as bring so many points, not many more than this time."""
        wanted = POINTS * steps // points if points else MAX_STEPS
        self._steps = max(1, min(wanted, GROWTH * steps, MAX_STEPS))

    def _page(self, window: ScrapeWindow) -> Page:
        fresh = []
        for document in window.documents:
            row = document["server"], round(document["timestamp"].timestamp() * 1e6)
            if row not in self._given:
                fresh.append(document)
                self._given[row] = None
        if fresh:
            self._advance(round(fresh[-1]["timestamp"].timestamp() * 1e6))
        return Page(fresh, self._position, tuple(window.notes))

    def _advance(self, moment: int) -> None:
        """Take up what was handed over; the position is another one each time."""
        known = self._position or {"at": moment, "page": 0}
        newest = max(known["at"], moment)
        self._position = {"at": newest, "page": known["page"] + 1}
        kept = newest - 2 * max(self._overlap, self._back) // timedelta(microseconds=1)
        self._given = {row: None for row in self._given if row[1] >= kept}

    @property
    def _back(self) -> timedelta:
        return timedelta(seconds=STEPS_BACK * self._step)

    def _nothing(self, now: datetime) -> Page:
        since = now - self._wanted.history
        self._position = {"at": round(since.timestamp() * 1e6), "page": 0}
        return Page((), self._position, (
            f"nothing was found by {self._scrapes.clock} since {since:%Y-%m-%d %H:%M}: check job, "
            "match and clock",
        ))  # fmt: skip
