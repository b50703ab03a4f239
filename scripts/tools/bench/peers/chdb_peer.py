"""Peer: ClickHouse in this process, by the Python package chdb."""

from importlib import import_module
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from scripts.tools.bench.peers.peer import PeerMissing, folder_bytes, readings_of
from scripts.tools.bench.peers.tsbs_workload import FIELDS, Span, TsbsQuery


class Chdb:
    """A MergeTree table by server and time, and Arrow out of it."""

    name = "chDB"

    def __init__(self, folder: Path) -> None:
        try:
            chdb = import_module("chdb")
            session = import_module("chdb.session")
        except ImportError as error:
            raise PeerMissing("pip install chdb") from error
        folder.mkdir()
        self._folder = folder
        self._session = session.Session(str(folder / "db"))
        self.version = f"{chdb.__version__} (ClickHouse {chdb.engine_version})"

    def load(self, rows: pa.Table) -> None:
        path = self._folder / "rows.parquet"
        pq.write_table(rows, path, compression="lz4")
        fields = ", ".join(f"{f} Float32" for f in FIELDS)
        self._session.query("CREATE DATABASE bench ENGINE = Atomic")
        self._session.query(
            f"CREATE TABLE bench.cpu (server LowCardinality(String), ts DateTime('UTC'), {fields}) "
            "ENGINE = MergeTree ORDER BY (server, ts)"
        )
        self._session.query(f"INSERT INTO bench.cpu SELECT * FROM file('{path}', Parquet)")
        path.unlink()

    def compact(self) -> None:
        self._session.query("OPTIMIZE TABLE bench.cpu FINAL")

    def stored_bytes(self) -> int:
        sql = "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND table = 'cpu'"
        size = int(str(self._session.query(sql, "CSV")).strip())
        assert size <= folder_bytes(self._folder)
        return size

    def query(self, query: TsbsQuery, span: Span) -> list[float]:
        last = span.last(query.hours)
        sql = query.sql.format(
            table="bench.cpu", last="argMax",
            since=f"toDateTime({int(last.since.timestamp())}, 'UTC')",
            until=f"toDateTime({int(last.until.timestamp())}, 'UTC')",
        )  # fmt: skip
        answer = self._session.query(sql, "ArrowTable")
        return readings_of(answer.column_names, zip(*(c.to_pylist() for c in answer), strict=True))

    def close(self) -> None:
        self._session.close()
