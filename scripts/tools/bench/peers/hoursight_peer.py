"""Our own lake, with the ten fields of the workload as metrics."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa

from scripts.tools.bench.peers.peer import folder_bytes, readings_of
from scripts.tools.bench.peers.tsbs_workload import FIELDS, STEP_S, Span, TsbsQuery
from storage.config.folders import Folders
from storage.config.settings import MetricSettings, Settings, write_settings
from storage.inbox import segment
from storage.lake.writer import Writer
from storage.query.reader import Reader

BATCH_ROWS = 200_000


class HoursightPeer:
    """Segments through the writer; queries through the reader of pages and functions."""

    name = "hoursight"

    def __init__(self, folder: Path) -> None:
        write_settings(folder, Settings(metrics=[MetricSettings(f, highest=100) for f in FIELDS]))
        self._folders = Folders.at(folder)
        self._writer = Writer.open(folder)
        self._reader = Reader.open(folder)
        self.version = f"duckdb {duckdb.__version__}"

    def load(self, rows: pa.Table) -> None:
        for start in range(0, rows.num_rows, BATCH_ROWS):
            part = rows.slice(start, BATCH_ROWS)
            now = part["ts"][-1].as_py() + timedelta(seconds=STEP_S)
            segment.write(self._folders, part, segment.Provenance("metrics", "bench", now))
            self._writer.commit_waiting(now)

    def compact(self) -> None:
        for hours in (1, 2):  # files that the first round replaced go in the second
            self._writer.run_maintenance(datetime.now(UTC) + timedelta(hours=hours))

    def stored_bytes(self) -> int:
        return folder_bytes(self._folders.lake / "main" / "metrics")

    def query(self, query: TsbsQuery, span: Span) -> list[float]:
        sql = duck_sql(query, span, "metrics")
        answer = self._reader.query(sql)
        return readings_of(answer.column_names, zip(*(c.to_pylist() for c in answer), strict=True))

    def close(self) -> None:
        self._reader.close()
        self._writer.close()


def duck_sql(query: TsbsQuery, span: Span, table: str) -> str:
    """Return the query in the SQL of DuckDB."""
    last = span.last(query.hours)
    return query.sql.format(
        table=table, last="arg_max",
        since=f"TIMESTAMPTZ '{last.since.isoformat()}'",
        until=f"TIMESTAMPTZ '{last.until.isoformat()}'",
    )  # fmt: skip
