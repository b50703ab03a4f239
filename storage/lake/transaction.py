"""Write connection: transactions on the lake whose files are fsynced before the commit."""

import logging
import time
from collections.abc import Callable, Iterable
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
from storage.lake.catalog_loss import lost_catalog
from storage.lake.hash_manifest import HashManifest
from storage.model.schema import TIMESTAMP, Schema, Table
from storage.platform.durability import disk_problem, fsync_directory, sync_file
from storage.platform.failpoints import failpoint

__all__ = ["FilesMissing", "WriteConnection"]

log = logging.getLogger(__name__)

T = TypeVar("T")

DAY_US = 86_400_000_000
SET_BACK_S = 86_400.0  # a clock that is set back is set by no more


class FilesMissing(HoursightError, OSError):
    """The catalog names files that are not there."""


class WriteConnection:
    """The only connection that writes the lake of a data folder, whose tables are `schema`.

    On a networked catalog a failed COMMIT may have succeeded, with its reply lost. After a failure
    the outcome is unknown until `settle` has reconnected and checked.
    """

    def __init__(self, folders: Folders, schema: Schema) -> None:
        self.folders = folders
        self.schema = schema
        self.generation = 0  # grows with each reconnection, and when files were put aside
        self._location = lake_location(folders)
        self.manifest = HashManifest(self._location.files)
        self._written: set[Path] = set()  # by the current transaction
        self._doubtful: set[Path] = set()  # by transactions that failed
        self._in_doubt = False
        self._open()

    @property
    def networked(self) -> bool:
        """True for a catalog on a server, which may become unreachable or lose commits."""
        return self._location.catalog.networked

    @property
    def folder(self) -> Path:
        """The folder of the lake's files."""
        return self._location.files

    def diagnose(self, error: Exception) -> str:
        """The cause of `error` and its remedy where they are known, else its own text."""
        catalog = self._location.catalog
        known = disk_problem(self._location.files, error)
        if known is None and catalog.networked:
            known = catalog.diagnose(error)
        return str(known or error)

    def close(self) -> None:
        """Close the connection and release the leader lock."""
        with suppress(duckdb.Error):
            self._connection.close()
        if self._leader_lock is not None:
            self._leader_lock.close()

    def settle(self) -> None:
        """Reconnect after a failure with unknown outcome. Raises FilesMissing and duckdb.Error."""
        if not self._in_doubt:
            return
        log.debug("outcome of the last transaction unknown: reconnecting")
        self.close()
        self._open()
        named = self.named_files()
        missing = [name for name in named if not (self._location.files / name).exists()]
        if missing:
            raise FilesMissing(
                f"{len(missing)} files of the catalog are missing in {self._location.files}, for "
                f"example {missing[0]}: mount the folder, or restore a backup"
            )
        self._in_doubt = False
        self.generation += 1

    def check_catalog(self) -> None:
        """Raise CatalogLost if the file of the catalog was removed or replaced since it was opened.

        DuckDB opens it for each transaction, and would make a new one in its place.
        """
        if self._location.catalog.identity() != self._identity:
            fault = "was removed or replaced while the writer ran"
            raise lost_catalog(self.folders, self._location, fault)

    def evolve(self, schema: Schema) -> None:
        """Add to the lake what it lacks of `schema`, and use it from now on."""
        self.check_catalog()
        evolve(self._connection, schema)
        self.schema = schema

    def run(self, sql: str, **parameters: Any) -> duckdb.DuckDBPyConnection:
        """Execute one statement; `$name` in it stands for the parameter `name`."""
        self.check_catalog()
        try:
            return self._connection.execute(sql, parameters or None)
        except duckdb.Error:
            self._in_doubt = self.networked
            raise

    def value(self, sql: str, **parameters: Any) -> Any:
        """The first value of a query; None when it has no row."""
        rows = self.run(sql, **parameters).fetchall()  # an unread result pins the WAL
        return rows[0][0] if rows else None

    def column(self, sql: str, **parameters: Any) -> set[Any]:
        """The first column of a query."""
        return {row[0] for row in self.run(sql, **parameters).fetchall()}

    def transaction(
        self,
        work: Callable[[], T],
        guard: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> T:
        """Run `work` in a transaction and return its result; `guard()` surrounds the COMMIT."""
        self.settle()
        began = time.perf_counter()
        self._written.clear()
        self.run("BEGIN")
        with ExitStack() as undo:
            undo.push(self._abort)
            result = work()
            self.manifest.record(self._written)
            failpoint("hashes recorded")
            with guard():
                worked = time.perf_counter()
                self._commit()
            undo.pop_all()
        self.check_catalog()  # else this commit is in no catalog: its segments have to stay
        log.debug(
            "transaction: %.1f ms of work, %.1f ms of COMMIT, %d files",
            1000 * (worked - began), _ms_since(worked), len(self._written),
        )  # fmt: skip
        self._drop_doubtful()
        return result

    def _abort(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: object
    ) -> None:
        files = len(self._written)
        log.debug("transaction rolled back (%s): %d files in doubt", error, files)
        self._roll_back()
        self._in_doubt = self.networked
        self._doubtful |= self._written

    def _drop_doubtful(self) -> None:
        """Remove files of failed commits, now that none of them can succeed any more.

        A server may still be working on a COMMIT that failed for us. This commit has taken the
        snapshot number of that one, so that it cannot succeed any more.
        """
        if self._doubtful:
            named = self.named_files()
            for path in self._doubtful:
                if path.relative_to(self._location.files).as_posix() not in named:
                    log.debug("removing %s, left by a failed commit", path.name)
                    path.unlink(missing_ok=True)
            self._doubtful.clear()

    def named_files(self) -> set[str]:
        """The files that the catalog names, relative to the folder of the lake's files."""
        return self.column((SQL / "named_files.sql").read_text())

    def _commit(self) -> None:
        if self._leader_lock is not None:
            self._leader_lock.check()
        failpoint("about to commit")
        with (
            self._data_path_link.detached() if self._data_path_link else nullcontext(),
            ExitStack() as undo,
        ):
            undo.callback(self._roll_back)  # while the link is detached
            self.run("COMMIT")
            undo.pop_all()

    def _roll_back(self) -> None:
        # The transaction has already ended if its COMMIT failed or the server was lost.
        with suppress(duckdb.Error):
            self._connection.execute("ROLLBACK")

    def _open(self) -> None:
        catalog = self._location.catalog
        make_files(self._location)
        self._leader_lock = LeaderLock(catalog) if isinstance(catalog, PostgresCatalog) else None
        with ExitStack() as undo:
            if self._leader_lock is not None:
                undo.callback(self._leader_lock.close)
            self._data_path_link = (
                DataPathLink(self.folders.data_path_link, self._location.files)
                if catalog.networked
                else None
            )
            data_path = self._data_path_link.path if self._data_path_link else None
            began = time.perf_counter()
            self._connection = attach_writer(self.folders, self.schema, data_path)
            self._identity = catalog.identity()
            log.debug("catalog %s attached to write in %.1f ms", catalog, _ms_since(began))
            undo.pop_all()

    def append(self, target: Table, rows: pa.Table, began: datetime) -> None:
        """Insert rows, preferably sorted by key, in a transaction that began at `began`."""
        self._connection.register("incoming", rows)
        self.run(f"INSERT INTO {target.name} BY NAME FROM incoming")
        self._connection.unregister("incoming")
        folder = self.files(target)
        for place in _places(folder, target, rows):
            self._sync(place.rglob("*.parquet"), began)
        self.sync_masks(target, began)

    def stage(self, name: str, rows: pa.Table, sql: str) -> None:
        """Create the temporary table `name` from a query that reads `rows` as `incoming`."""
        self._connection.register("incoming", rows)
        self.run(f"CREATE OR REPLACE TEMP TABLE {name} AS {sql}")
        self._connection.unregister("incoming")

    def files(self, target: Table) -> Path:
        """The folder of the table's Parquet files."""
        return self._location.files / "main" / target.name

    def sync(self, target: Table, since: datetime) -> None:
        """Fsync the table's files written after `since`; DuckLake itself does not (1.5.5)."""
        self._sync(self.files(target).rglob("*.parquet"), since)

    def sync_masks(self, target: Table, since: datetime) -> None:
        """Fsync the files, written after `since`, that mask deleted rows of the table."""
        self._sync(self.files(target).glob("*-delete.parquet"), since)

    def _sync(self, paths: Iterable[Path], since: datetime) -> None:
        newest = newest_mtime_s(since, time.time())
        for path in paths:
            if path.stat().st_mtime >= newest and not self.manifest.is_recorded(path):
                sync_file(path)
                fsync_directory(path.parent)
                self._written.add(path)


def newest_mtime_s(since: datetime, now_s: float) -> float:
    """The modification time [s] that a file written after `since` has at least.

    A file system's clock may lag a little behind the system's, which may have been set back.
    """
    since_s = since.timestamp()
    return (since_s if now_s >= since_s else now_s - SET_BACK_S) - 1


def _ms_since(began: float) -> float:
    return 1000 * (time.perf_counter() - began)


def _places(folder: Path, target: Table, rows: pa.Table) -> set[Path]:
    """The folders into which DuckLake writes these rows."""
    if not target.by_day:
        return {folder}
    # Arrow's strftime cannot format months and days without leading zeros.
    times = np.asarray(rows[target.time].cast(pa.int64()))
    days = pc.unique(pa.array(times // DAY_US * DAY_US)).cast(TIMESTAMP).to_pylist()
    return {folder / f"year={d.year}/month={d.month}/day={d.day}" for d in days}
