"""Our own lake, with the ten fields as metrics of its own."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa

from scripts.tools.bench.peers.peer import folder_bytes, numbers_of
from scripts.tools.bench.peers.tsbs_workload import FIELDS, STEP_S, Span, TsbsQuery
from storage.config.folders import Folders
from storage.config.settings import MetricSettings, Settings, write_settings
from storage.inbox import segment
from storage.lake.writer import Writer
from storage.query.reader import Reader

BATCH_ROWS = 200_000


class HoursightPeer:
    """Segments through the writer; questions through the reader that pages and functions use."""

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

    def settle(self) -> None:
        for hours in (1, 2):  # files that the first round replaced go in the second
            self._writer.run_maintenance(datetime.now(UTC) + timedelta(hours=hours))

    def bytes_held(self) -> int:
        return folder_bytes(self._folders.lake / "main" / "metrics")

    def ask(self, question: TsbsQuery, span: Span) -> list[float]:
        sql = duck_sql(question, span, "metrics")
        answer = self._reader.query(sql)
        return numbers_of(answer.column_names, zip(*(c.to_pylist() for c in answer), strict=True))

    def close(self) -> None:
        self._reader.close()
        self._writer.close()


def duck_sql(question: TsbsQuery, span: Span, table: str) -> str:
    """The question in DuckDB's words."""
    last = span.last(question.hours)
    return question.sql.format(
        table=table, last="arg_max",
        since=f"TIMESTAMPTZ '{last.since.isoformat()}'",
        until=f"TIMESTAMPTZ '{last.until.isoformat()}'",
    )  # fmt: skip
