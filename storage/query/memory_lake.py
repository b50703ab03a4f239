"""Lake in memory: the tables and views of a lake for one process, without files and commits.

A replay writes what functions return and reads it as they do live. Values are rounded and keys kept
apart as the writer does.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from storage.config.folders import Folders
from storage.config.settings import schema_of
from storage.lake.catalog import lake_location
from storage.model.precision import rounded
from storage.model.schema import Schema, Table
from storage.model.views import VIEWS
from storage.query.reader import Reader

__all__ = ["MemoryLake", "MemoryReader"]

_CLOCK = "(SELECT ts FROM clock)"
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


class MemoryReader(Reader):
    """Reads a lake in memory; every query sees all that was put in."""

    def latest(self, start: datetime, stop: datetime) -> pa.Table:
        """Return the last sample of each server from `start` to `stop`."""
        return self.named("windows/readings", start=start, stop=stop)

    def snapshot(self) -> int:
        """Return 0: there are no snapshots."""
        return 0

    @contextmanager
    def pinned(self, known: Any = None, known_at: Any = None) -> Iterator[Reader]:  # noqa: ARG002 - nothing moves here
        """Context: this reader, as nothing is committed while a function runs."""
        yield self

    def replaced(self) -> bool:
        """Return False: nobody else has it."""
        return False

    def _merge_guard(self) -> AbstractContextManager[None]:
        return nullcontext()


class MemoryLake:
    """The tables of `folders`' settings, empty at first; `reader` reads them at the time `at`."""

    def __init__(self, folders: Folders) -> None:
        self._connection = duckdb.connect(":memory:", config={"threads": 1})
        self._connection.execute("ATTACH ':memory:' AS lake; USE lake; SET TimeZone = 'UTC'")
        self.schema: Schema = schema_of(folders)
        for table in self.schema.tables:
            self._connection.execute(next(table.ddl()))
        self._connection.execute("CREATE TABLE clock (ts TIMESTAMPTZ)")
        self._connection.execute("INSERT INTO clock VALUES ($ts)", {"ts": _BEGINNING})
        for view in VIEWS:
            self._connection.execute(f"CREATE VIEW {view.name} AS {view.sql_at(_CLOCK)}")
        self._newest: dict[str, datetime] = {}
        self._now = self._committed_at = _BEGINNING
        self._commits = 0
        self.reader = MemoryReader(folders, lake_location(folders), self._connection, None)

    def close(self) -> None:
        """Forget all rows."""
        self.reader.close()

    def at(self, now: datetime) -> None:
        """Let the views show the present of `now`, and commits have this time."""
        self._now = now
        self._connection.execute("UPDATE clock SET ts = $now", {"now": now})

    def put(self, table_name: str, rows: pa.Table, **provenance: Any) -> int:
        """Insert rows as the writer would; return how many of them are new or replace others.

        The commit is logged as of the time of `at`, with the `provenance`: columns of `segments`.
        """
        table = self.schema.table(table_name)
        rows = rounded(_whole(rows, table), table.name, self.schema.metrics)
        new = self._insert(table, rows) if rows.num_rows else 0
        self._log(table, rows, new, provenance)
        return new

    def forget(self) -> None:
        """Delete the rows whose retention is over, and return their memory."""
        for table in self.schema.tables:
            if table.retention is not None:
                self._connection.execute(
                    f"DELETE FROM {table.name} WHERE {table.time} < $before",
                    {"before": self._now - table.retention},
                )
        self._connection.execute("CHECKPOINT lake")

    def _insert(self, table: Table, rows: pa.Table) -> int:
        self._connection.register("incoming", rows)
        try:
            if not table.key or self._all_new(rows, table):
                return self._count(f"INSERT INTO {table.name} FROM incoming")
            return self._put_keyed(table)
        finally:
            self._connection.unregister("incoming")

    def _log(self, table: Table, rows: pa.Table, new: int, provenance: dict[str, Any]) -> None:
        """Write a row of the commit log; no two commits have the same time."""
        span = pc.min_max(rows[table.time]).as_py()
        self._committed_at = max(self._now, self._committed_at + timedelta(microseconds=1))
        self._commits += 1
        row = {
            "batch_id": f"memory-{self._commits}", "table_name": table.name,
            "created_at": self._now, "ts": self._committed_at, "first_ts": span["min"],
            "last_ts": span["max"], "rows_in": rows.num_rows, "rows_committed": new,
            "outcome": "committed", **provenance,
        }  # fmt: skip
        names = ", ".join(row)
        values = ", ".join(f"${name}" for name in row)
        self._connection.execute(f"INSERT INTO segments ({names}) VALUES ({values})", row)

    def _all_new(self, rows: pa.Table, table: Table) -> bool:
        """Return True if no key can be known: all rows are later than those of the table."""
        if table.time not in table.key:
            return False
        span = pc.min_max(rows[table.time]).as_py()
        newest = self._newest.get(table.name)
        self._newest[table.name] = max(span["max"], newest or span["max"])
        if newest is not None and span["min"] <= newest:
            return False
        distinct = rows.select(list(table.key)).group_by(list(table.key)).aggregate([])
        return bool(distinct.num_rows == rows.num_rows)

    def _put_keyed(self, table: Table) -> int:
        key = ", ".join(table.key)
        order = "DESC" if table.on_conflict == "last" else "ASC"
        fresh = (
            "(SELECT * EXCLUDE nth FROM (SELECT *, row_number() OVER () AS nth FROM incoming) "
            f"QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY nth {order}) = 1)"
        )
        self._connection.execute(f"CREATE OR REPLACE TEMP TABLE fresh AS FROM {fresh}")
        if table.on_conflict == "last":
            self._delete_known(table)
        elif table.provisional is not None:
            column, value = table.provisional
            self._delete_known(table, f"AND {table.name}.{column} = '{value}' ")
        same = " AND ".join(f"known.{c} = fresh.{c}" for c in table.key)
        known = f"SELECT 1 FROM {table.name} AS known WHERE {same}{self._since(table, 'known')}"
        return self._count(
            f"INSERT INTO {table.name} SELECT * FROM fresh WHERE NOT EXISTS ({known})"
        )

    def _delete_known(self, table: Table, condition: str = "") -> None:
        same = " AND ".join(f"{table.name}.{c} = fresh.{c}" for c in table.key)
        self._connection.execute(
            f"DELETE FROM {table.name} USING fresh WHERE {same} {condition}"
            f"{self._since(table, table.name)}"
        )

    def _since(self, table: Table, name: str) -> str:
        """A condition on time that lets DuckDB skip what is older than the new rows."""
        if table.time not in table.key:
            return ""
        oldest = self._connection.execute(f"SELECT min({table.time}) FROM fresh").fetchone()
        assert oldest is not None
        return f" AND {name}.{table.time} >= TIMESTAMPTZ '{oldest[0].isoformat()}'"

    def _count(self, sql: str) -> int:
        result = self._connection.execute(sql).fetchone()
        return int(result[0]) if result else 0


def _whole(rows: pa.Table, table: Table) -> pa.Table:
    """`rows` with all columns of `table`, in its order and types; NULL where there are none."""
    columns = {
        field.name: rows[field.name].cast(field.type)
        if field.name in rows.column_names
        else pa.nulls(rows.num_rows, field.type)
        for field in table.arrow
    }
    return pa.table(columns)
