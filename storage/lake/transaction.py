"""The writer's pen: transactions on the lake whose files are on the disk before they count."""

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from storage.config.folders import Folders
from storage.errors import HoursightError
from storage.lake.attach import SQL, attach_writer, evolve
from storage.lake.catalog import (
    DataPathLink,
    LeaderLock,
    PostgresCatalog,
    lake_location,
    make_files,
)
from storage.model.schema import TIMESTAMP, Schema, Table
from storage.platform.durability import disk_problem, fsync_directory, sync_file
from storage.platform.failpoints import failpoint

__all__ = ["FilesMissing", "WriteConnection"]

log = logging.getLogger(__name__)

T = TypeVar("T")

DAY_US = 86_400_000_000


class FilesMissing(HoursightError, OSError):
    """The catalog names files that are not there."""


class WriteConnection:
    """The one connection that writes the lake of a data folder, whose tables are `schema`.

    On a networked catalog a failure may have been a success whose reply was lost. After one,
    nothing is taken for known: `settle` connects anew and looks.
    """

    def __init__(self, folders: Folders, schema: Schema) -> None:
        self.folders = folders
        self.schema = schema
        self.generation = 0  # another one after each time that it had to look
        self._home = lake_location(folders)
        self._written: set[Path] = set()  # by the transaction that runs
        self._doubtful: set[Path] = set()  # by transactions that failed
        self._in_doubt = False
        self._open()

    @property
    def networked(self) -> bool:
        """Whether the catalog may go away, and forget what it had said was safe."""
        return self._home.catalog.networked

    def diagnose(self, error: Exception) -> str:
        """What is wrong, with the remedy where it is known."""
        catalog = self._home.catalog
        known = disk_problem(self._home.files, error)
        if known is None and catalog.networked:
            known = catalog.diagnose(error)
        return str(known or error)

    def close(self) -> None:
        """Let go of the lake."""
        with suppress(duckdb.Error):
            self._connection.close()
        if self._lead is not None:
            self._lead.close()

    def settle(self) -> None:
        """After a failure, find out what became of it; raises what keeps us from that."""
        if not self._in_doubt:
            return
        log.debug("the last transaction is in doubt: connecting anew to look")
        self.close()
        self._open()
        named = self._named()
        gone = [name for name in named if not (self._home.files / name).exists()]
        if gone:
            raise FilesMissing(
                f"{len(gone)} files that the catalog names are not in {self._home.files}, such as "
                f"{gone[0]}: mount the folder, or restore a backup"
            )
        self._in_doubt = False
        self.generation += 1

    def evolve(self, schema: Schema) -> None:
        """Add what the lake lacks of `schema`, and go by it from now on."""
        evolve(self._connection, schema)
        self.schema = schema

    def run(self, sql: str, **parameters: Any) -> duckdb.DuckDBPyConnection:
        """Execute one statement; `$name` in it stands for the parameter `name`."""
        try:
            return self._connection.execute(sql, parameters or None)
        except duckdb.Error:
            self._in_doubt = self.networked
            raise

    def value(self, sql: str, **parameters: Any) -> Any:
        """The first value of a query; None when it has no row."""
        rows = self.run(sql, **parameters).fetchall()  # a result that is not read out pins the WAL
        return rows[0][0] if rows else None

    def column(self, sql: str, **parameters: Any) -> set[Any]:
        """The first column of a query."""
        return {row[0] for row in self.run(sql, **parameters).fetchall()}

    def transaction(
        self,
        work: Callable[[], T],
        guard: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> T:
        """Do `work` wholly or not at all; what `guard` gives is held while it takes effect."""
        self.settle()
        began = time.perf_counter()
        self._written.clear()
        self.run("BEGIN")
        with ExitStack() as undo:
            undo.callback(self._give_up)
            result = work()
            with guard():
                worked = time.perf_counter()
                self._commit()
            undo.pop_all()
        log.debug(
            "transaction: %.1f ms of work, %.1f ms of COMMIT, %d files",
            1000 * (worked - began), _ms_since(worked), len(self._written),
        )  # fmt: skip
        self._drop_doubtful()
        return result

    def _give_up(self) -> None:
        log.debug("transaction rolled back: %d files in doubt", len(self._written))
        self._roll_back()
        self._in_doubt = self.networked
        self._doubtful |= self._written

    def _drop_doubtful(self) -> None:
        """Remove what failed commits have left, now that none of them can still succeed.

        A server may be slow with a COMMIT of which we have given up. Ours has taken the number of
        the snapshot that it wanted, so that it is over, one way or the other.
        """
        if self._doubtful:
            named = self._named()
            for path in self._doubtful:
                if path.relative_to(self._home.files).as_posix() not in named:
                    log.debug("removing %s, which a failed commit has left", path.name)
                    path.unlink(missing_ok=True)
            self._doubtful.clear()

    def _named(self) -> set[str]:
        return self.column((SQL / "named_files.sql").read_text())

    def _commit(self) -> None:
        if self._lead is not None:
            self._lead.check()
        failpoint("about to commit")
        with self._pen.lifted() if self._pen else nullcontext(), ExitStack() as undo:
            undo.callback(self._roll_back)  # while the pen is lifted
            self.run("COMMIT")
            undo.pop_all()

    def _roll_back(self) -> None:
        # A COMMIT that failed has already ended the transaction; a lost server has done it for us.
        with suppress(duckdb.Error):
            self._connection.execute("ROLLBACK")

    def _open(self) -> None:
        catalog = self._home.catalog
        make_files(self._home)
        self._lead = LeaderLock(catalog) if isinstance(catalog, PostgresCatalog) else None
        with ExitStack() as undo:
            if self._lead is not None:
                undo.callback(self._lead.close)
            self._pen = (
                DataPathLink(self.folders.data_path_link, self._home.files)
                if catalog.networked
                else None
            )
            pen = self._pen.path if self._pen else None
            began = time.perf_counter()
            self._connection = attach_writer(self.folders, self.schema, pen)
            log.debug("catalog %s attached to write in %.1f ms", catalog, _ms_since(began))
            undo.pop_all()

    def append(self, target: Table, rows: pa.Table, began: datetime) -> None:
        """Insert rows, best in the order of their key, in a transaction that `began` then."""
        self._connection.register("incoming", rows)
        self.run(f"INSERT INTO {target.name} BY NAME FROM incoming")
        self._connection.unregister("incoming")
        folder = self.files(target)
        for place in _places(folder, target, rows):
            self._written |= _sync_new_files(place, began)

    def stage(self, name: str, rows: pa.Table, sql: str) -> None:
        """Make a temporary table of a query over `rows`, which it knows as `incoming`."""
        self._connection.register("incoming", rows)
        self.run(f"CREATE OR REPLACE TEMP TABLE {name} AS {sql}")
        self._connection.unregister("incoming")

    def files(self, target: Table) -> Path:
        """Where the table's Parquet files lie."""
        return self._home.files / "main" / target.name

    def sync(self, target: Table, since: datetime) -> None:
        """Make the table's new files durable; DuckLake itself does not before COMMIT (1.5.5)."""
        self._written |= _sync_new_files(self.files(target), since)


def _ms_since(began: float) -> float:
    return 1000 * (time.perf_counter() - began)


def _places(folder: Path, target: Table, rows: pa.Table) -> set[Path]:
    """The folders into which DuckLake puts these rows."""
    if not target.by_day:
        return {folder}
    # Arrow's own strftime knows no number without its zero.
    moments = np.asarray(rows[target.time].cast(pa.int64()))
    days = pc.unique(pa.array(moments // DAY_US * DAY_US)).cast(TIMESTAMP).to_pylist()
    return {folder / f"year={d.year}/month={d.month}/day={d.day}" for d in days}


def _sync_new_files(folder: Path, since: datetime) -> set[Path]:
    # A file system's clock may lag a little behind the system's.
    newest = since.timestamp() - 1
    found = set()
    for path in folder.rglob("*.parquet"):
        if path.stat().st_mtime >= newest:
            sync_file(path)
            fsync_directory(path.parent)
            found.add(path)
    return found
