"""Window: what a function reads of the lake, by SQL and as dense arrays.

Importing this module loads no database engine: user code names `Window` in annotations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from storage.query import windows
    from storage.query.reader import Reader

__all__ = ["Window"]


@dataclass(frozen=True, slots=True)
class Window:
    """The lake as of one snapshot, that of the run's first query.

    Commits and merges go on meanwhile; a query within 15 minutes still sees the snapshot. `now` is
    the time that the function takes for the present; the arrays below end there.
    """

    reader: Reader
    now: datetime

    def sql(self, text: str, **parameters: Any) -> pa.Table:
        """Return the rows of one SELECT; `$name` in it stands for the parameter `name`."""
        return self.reader.query(text, **parameters)

    def contexts(
        self, stop: datetime, steps: int, among: Sequence[str] | None = None
    ) -> windows.Contexts:
        """Return the `steps` 5-minute steps before `stop` of every server, or of those named."""
        from storage.query import windows

        return windows.contexts(self.reader, stop, steps, among)

    def readings(self, oldest: timedelta) -> windows.LastReadings:
        """Return the last sample of each server that has one no older than `oldest`."""
        from storage.query import windows

        return windows.readings(self.reader, self.now, oldest)

    def forecasts(self, metrics: Sequence[str] | None = None) -> windows.IssuedForecasts:
        """Return the newest forecast of each server, of all metrics or of those named."""
        from storage.query import windows

        if metrics is None:
            return windows.forecasts(self.reader, self.now)
        return windows.forecasts(self.reader, self.now, metrics)

    def servers_to_forecast(
        self, issued_at: datetime, silent: timedelta, after: str, limit: int
    ) -> list[str]:
        """Return up to `limit` servers after `after` that need a forecast from `issued_at`."""
        from storage.query import windows

        return windows.servers_to_forecast(self.reader, issued_at, silent, after, limit)

    def rollup(self, cursor: datetime, until: datetime) -> tuple[pa.Table, datetime]:
        """Return the 5-minute steps to write since the commit at `cursor`, and the next cursor."""
        from storage.query import windows

        return windows.rollup(self.reader, cursor, until)
