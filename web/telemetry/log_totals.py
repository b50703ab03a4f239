"""Counters over the segment log and the run log that only grow, although retention deletes rows.

A plain sum over a log goes down when retention removes old rows. A counter here adds up the rows
after the last one that was counted. It starts at 0 with the process, which Prometheus handles as a
counter reset.
"""

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

from storage.config.settings import schema_of
from storage.query.reader import Reader
from web.lake_session import sql

__all__ = ["LogTotals"]

# The first read finds the newest row by table and function; logs are kept for 30 days by default.
FIRST_LOOKBACK = timedelta(days=31)
# A row with an earlier time that arrives after a scrape is not counted.
LOOKBACK = timedelta(days=2)

# Row ids begin at 0. The commits of an empty log that is read again are counted.
NEVER_READ, EMPTY = -2, -1

Counts = defaultdict[tuple[str, ...], float]
Row = dict[str, Any]


class LogTotals:
    """Counters by metric name and label values, and the newest row times by source and table."""

    def __init__(self) -> None:
        self.counters: dict[str, Counts] = defaultdict(lambda: defaultdict(float))
        self.newest_by_source: dict[str, datetime] = {}
        self.newest_by_table: dict[str, datetime] = {}
        self._last_rowid: dict[str, int] = {}  # by log table

    def restart(self) -> None:
        """Forget the last row: the next update counts none of the rows that another lake has."""
        self._last_rowid.clear()
        self.newest_by_source.clear()
        self.newest_by_table.clear()

    def update_segments(self, reader: Reader, now: datetime) -> None:
        """Count the rows that were added to the segment log since the last update."""
        rows, first = self._added(reader, "segments", now)
        for row in rows:
            function, table = row["function"], row["table_name"]
            self._update_newest(self.newest_by_table, table, row["last_ts"])
            if table == "metrics":
                self._update_newest(self.newest_by_source, function, row["last_ts"])
        weight = 0 if first else 1
        commits = {at for row in rows for at in row["commits"] or ()}
        self._count("hoursight_commits_total", (), weight * len(commits))
        for row in rows:
            committed, refused = weight * row["rows_committed"], weight * row["rows_refused"]
            self._count("hoursight_segments_total", (row["outcome"],), weight * row["segments"])
            self._count("hoursight_rows_total", (row["table_name"],), committed)
            if row["table_name"] == "metrics":
                self._count("hoursight_source_rows_total", (row["function"],), committed)
                self._count("hoursight_source_refused_total", (row["function"],), refused)
                clamped = weight * row["values_clamped"]
                self._count("hoursight_source_clamped_total", (row["function"],), clamped)
                repeated = weight * row["values_repeated"]
                self._count("hoursight_source_repeated_total", (row["function"],), repeated)

    def update_runs(self, reader: Reader, now: datetime) -> None:
        """Count the rows that were added to the run log since the last update."""
        rows, first = self._added(reader, "runs", now)
        weight = 0 if first else 1
        for row in rows:
            name, runs = row["function"], weight * row["runs"]
            duration_s, cpu_s = weight * row["duration_s"], weight * row["cpu_s"]
            self._count("hoursight_function_runs_total", (name, row["outcome"]), runs)
            self._count("hoursight_function_duration_seconds_sum", (name,), duration_s)
            self._count("hoursight_function_duration_seconds_count", (name,), runs)
            self._count("hoursight_function_cpu_seconds_total", (name,), cpu_s)

    def _added(self, reader: Reader, log: str, now: datetime) -> tuple[list[Row], bool]:
        """Return the added rows in groups, and whether this is the first read of the log."""
        first = log not in self._last_rowid
        oldest = now - (FIRST_LOOKBACK if first else LOOKBACK)
        seen = self._last_rowid.get(log, NEVER_READ)
        latest = {"latest": now + schema_of(reader.folders).times.max_ahead}
        rows = reader.query(
            sql(f"telemetry_{log}"), seen=seen, oldest=oldest,
            **(latest if log == "segments" else {}),
        ).to_pylist()  # fmt: skip
        self._last_rowid[log] = max([seen, EMPTY, *(row["seen"] for row in rows)])
        return rows, first

    def _count(self, name: str, labels: tuple[str, ...], increment: float) -> None:
        self.counters[name][labels] += increment

    @staticmethod
    def _update_newest(newest: dict[str, datetime], name: str, at: datetime | None) -> None:
        if at is not None:
            newest[name] = max(at, newest.get(name, at))
