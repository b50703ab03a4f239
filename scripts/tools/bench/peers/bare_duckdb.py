"""Peer: a plain DuckDB file, without the lake's crash safety and concurrent readers."""

from pathlib import Path

import duckdb
import pyarrow as pa

from scripts.tools.bench.peers.hoursight_peer import duck_sql
from scripts.tools.bench.peers.peer import readings_of
from scripts.tools.bench.peers.tsbs_workload import Span, TsbsQuery


class BareDuckdb:
    """One table, sorted, in this process."""

    name = "DuckDB"

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._path = folder / "cpu.duckdb"
        self._connection = duckdb.connect(str(self._path))
        self._connection.execute("SET TimeZone = 'UTC'")
        self.version = duckdb.__version__

    def load(self, rows: pa.Table) -> None:
        self._connection.register("incoming", rows)
        self._connection.execute("CREATE TABLE cpu AS FROM incoming ORDER BY server, ts")
        self._connection.execute("CHECKPOINT")

    def compact(self) -> None:
        pass

    def stored_bytes(self) -> int:
        return self._path.stat().st_size

    def query(self, query: TsbsQuery, span: Span) -> list[float]:
        answer = self._connection.execute(duck_sql(query, span, "cpu")).to_arrow_table()
        return readings_of(answer.column_names, zip(*(c.to_pylist() for c in answer), strict=True))

    def close(self) -> None:
        self._connection.close()
