"""The keeper's pen: transactions on the lake whose files are on the disk before they count."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from storage.crash import reach
from storage.disk import sync_folder
from storage.folders import Folders
from storage.lake import attach_writer, evolve
from storage.schema import Schema, Table

__all__ = ["Writer"]

T = TypeVar("T")


class Writer:
    """The one connection that writes the lake of a data folder, whose tables are `schema`."""

    def __init__(self, folders: Folders, schema: Schema) -> None:
        self.folders = folders
        self.schema = schema
        self._connection = attach_writer(folders, schema)

    def close(self) -> None:
        """Let go of the lake."""
        self._connection.close()

    def evolve(self, schema: Schema) -> None:
        """Add what the lake lacks of `schema`, and go by it from now on."""
        evolve(self._connection, schema)
        self.schema = schema

    def run(self, sql: str, **parameters: Any) -> duckdb.DuckDBPyConnection:
        """Execute one statement; `$name` in it stands for the parameter `name`."""
        return self._connection.execute(sql, parameters or None)

    def value(self, sql: str, **parameters: Any) -> Any:
        """The first value of a query; None when it has no row."""
        row = self.run(sql, **parameters).fetchone()
        return row[0] if row else None

    def column(self, sql: str, **parameters: Any) -> set[Any]:
        """The first column of a query."""
        return {row[0] for row in self.run(sql, **parameters).fetchall()}

    def transaction(
        self,
        work: Callable[[], T],
        guard: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> T:
        """Do `work` wholly or not at all; what `guard` gives is held while it takes effect."""
        self.run("BEGIN")
        try:
            result = work()
            with guard():
                reach("about to commit")
                self.run("COMMIT")
        except BaseException:
            # A COMMIT that failed has already ended the transaction.
            with suppress(duckdb.TransactionException):
                self.run("ROLLBACK")
            raise
        return result

    def append(self, target: Table, rows: pa.Table, began: datetime) -> None:
        """Insert rows in a transaction that `began` then."""
        self._connection.register("incoming", rows)
        self.run(f"INSERT INTO {target.name} BY NAME FROM incoming")
        self._connection.unregister("incoming")
        folder = self.files(target)
        for place in _places(folder, target, rows):
            _sync_new_files(place, began)

    def stage(self, name: str, rows: pa.Table, sql: str) -> None:
        """Make a temporary table of a query over `rows`, which it knows as `incoming`."""
        self._connection.register("incoming", rows)
        self.run(f"CREATE OR REPLACE TEMP TABLE {name} AS {sql}")
        self._connection.unregister("incoming")

    def files(self, target: Table) -> Path:
        """Where the table's Parquet files lie."""
        return self.folders.lake / "main" / target.name

    def sync(self, target: Table, since: datetime) -> None:
        """Make the table's new files durable; DuckLake itself does not before COMMIT (1.5.5)."""
        _sync_new_files(self.files(target), since)


def _places(folder: Path, target: Table, rows: pa.Table) -> set[Path]:
    """The folders into which DuckLake puts these rows."""
    if not target.by_day:
        return {folder}
    days = pc.unique(pc.strftime(rows[target.time], "year=%Y/month=%-m/day=%-d")).to_pylist()
    return {folder / day for day in days}


def _sync_new_files(folder: Path, since: datetime) -> None:
    # A file system's clock may lag a little behind the system's.
    newest = since.timestamp() - 1
    for path in folder.rglob("*.parquet"):
        if path.stat().st_mtime >= newest:
            handle = os.open(path, os.O_RDONLY)
            os.fsync(handle)
            os.close(handle)
            sync_folder(path.parent)
