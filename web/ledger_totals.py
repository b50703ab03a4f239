"""Counters over the ledgers of segments and runs: what was added since the site first looked.

Retention removes old rows of the ledgers, so a sum over them goes down. A counter here only grows:
it adds up the rows after the last one seen. As any counter it starts at 0 with its process, which
Prometheus takes for a reset.
"""

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

from storage.query.reader import Reader
from web.lake_session import sql

__all__ = ["LedgerTotals"]

# By table and by function, when first looked at; the ledgers are kept for 30 days by default.
FIRST_LOOK_BACK = timedelta(days=31)
# A row with an earlier time that comes after a scrape is not counted.
LOOK_BACK = timedelta(days=2)

Counts = defaultdict[tuple[str, ...], float]
Row = dict[str, Any]


class LedgerTotals:
    """Counters by name and label values, and the newest rows by function and by table."""

    def __init__(self) -> None:
        self.counters: dict[str, Counts] = defaultdict(lambda: defaultdict(float))
        self.newest_by_source: dict[str, datetime] = {}
        self.newest_by_table: dict[str, datetime] = {}
        self._seen: dict[str, int] = {}  # the last row counted, by ledger

    def begin_anew(self) -> None:
        """Another lake is in the place of the last one: its rows so far are not counted."""
        self._seen.clear()

    def update_segments(self, reader: Reader, now: datetime) -> None:
        """Add what the ledger of segments has more than at the last time."""
        rows, first = self._added(reader, "segments", now)
        for row in rows:
            function, table = row["function"], row["table_name"]
            self._note(self.newest_by_table, table, row["last_ts"])
            if table == "metrics":
                self._note(self.newest_by_source, function, row["last_ts"])
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

    def update_runs(self, reader: Reader, now: datetime) -> None:
        """Add what the ledger of runs has more than at the last time."""
        rows, first = self._added(reader, "runs", now)
        weight = 0 if first else 1
        for row in rows:
            name, runs = row["function"], weight * row["runs"]
            duration_s, cpu_s = weight * row["duration_s"], weight * row["cpu_s"]
            self._count("hoursight_function_runs_total", (name, row["outcome"]), runs)
            self._count("hoursight_function_duration_seconds_sum", (name,), duration_s)
            self._count("hoursight_function_duration_seconds_count", (name,), runs)
            self._count("hoursight_function_cpu_seconds_total", (name,), cpu_s)

    def _added(self, reader: Reader, ledger: str, now: datetime) -> tuple[list[Row], bool]:
        """Groups of the rows after the last one seen, and whether none was seen before."""
        first = ledger not in self._seen
        oldest = now - (FIRST_LOOK_BACK if first else LOOK_BACK)
        seen = self._seen.get(ledger, -1)
        rows = reader.query(sql(f"telemetry_{ledger}"), seen=seen, oldest=oldest).to_pylist()
        self._seen[ledger] = max([seen, *(row["seen"] for row in rows)])
        return rows, first

    def _count(self, name: str, labels: tuple[str, ...], more: float) -> None:
        self.counters[name][labels] += more

    @staticmethod
    def _note(newest: dict[str, datetime], name: str, at: datetime | None) -> None:
        if at is not None:
            newest[name] = max(at, newest.get(name, at))
