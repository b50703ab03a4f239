"""Catalog of a lake: a SQLite file or a PostgreSQL database; leader lock and data path link."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb

from storage.config.folders import Folders
from storage.config.settings import POSTGRES, SettingsError, settings_in_force
from storage.errors import Diagnosis, HoursightError
from storage.lake.duckdb_errors import is_server_unreachable, server_reason
from storage.lake.extensions import load_extension
from storage.lake.read_only_folder import file_stamps, is_writable
from storage.platform.durability import disk_problem

__all__ = [
    "DataPathLink",
    "LakeLocation",
    "LeaderLock",
    "LeaderLockLost",
    "PostgresCatalog",
    "SqliteCatalog",
    "lake_location",
    "make_files",
]  # fmt: skip

log = logging.getLogger(__name__)

# Time that SQLite waits for a lock before it reports an error.
BUSY_TIMEOUT_MS = 10_000
# Key of the writer's advisory lock: "hoursig" as a number.
LEADER_LOCK_KEY = int.from_bytes(b"hoursig")
# The server releases the lock of a vanished host after idle + count * interval seconds.
KEEPALIVE = "SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; "
KEEPALIVE += "SET tcp_keepalives_count = 3"


class LeaderLockLost(HoursightError, ConnectionError):
    """Another writer has the leader lock, or the server has released ours."""

    retryable = True


@dataclass(frozen=True, slots=True)
class SqliteCatalog:
    """A SQLite file in the data folder, for the processes of one host."""

    path: Path
    extension = "sqlite_scanner"
    networked = False

    def __str__(self) -> str:
        return str(self.path)

    @property
    def url(self) -> str:
        """The catalog in DuckLake's connection string, after `ducklake:`."""
        return f"sqlite:{self.path}"

    @property
    def options(self) -> str:
        """Further options of ATTACH."""
        return f", META_BUSY_TIMEOUT {BUSY_TIMEOUT_MS}"

    def identity(self) -> object:
        """Changes when the file is replaced; None if there is no file.

        In a folder that is not writable it changes with each commit: readers may have a copy.
        Raises PermissionError.
        """
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            return None
        if is_writable(self.path.parent):
            return stat.st_dev, stat.st_ino
        return stat.st_dev, stat.st_ino, file_stamps(self.path)

    def diagnose(self, error: Exception) -> Diagnosis | None:  # noqa: ARG002 - the state of the disk decides
        """The cause of `error` and its remedy, if known."""
        return disk_problem(self.path.parent)


@dataclass(frozen=True, slots=True)
class PostgresCatalog:
    """A PostgreSQL database, for readers on several hosts."""

    address: str
    extension = "postgres_scanner"
    networked = True
    options = ""

    def __str__(self) -> str:
        return f"the PostgreSQL catalog ({self.address})"

    @property
    def url(self) -> str:
        """The catalog in DuckLake's connection string, after `ducklake:`."""
        return f"{POSTGRES}{self.address}"

    def identity(self) -> object:
        """The address: only the settings can name another catalog."""
        return self.address

    def diagnose(self, error: Exception) -> Diagnosis | None:
        """The cause of `error` and its remedy, if known."""
        if not is_server_unreachable(error):
            return None
        reason = server_reason(error)
        return Diagnosis(
            f"{self} does not answer{f' ({reason})' if reason else ''}",
            "start the server, or correct [lake] catalog in hoursight.toml; put a password into "
            "PGPASSWORD or a pgpass file",
        )


@dataclass(frozen=True, slots=True)
class LakeLocation:
    """The catalog of a lake, the folder of its files, and the memory that a reader may use."""

    catalog: SqliteCatalog | PostgresCatalog
    files: Path
    reader_memory: str


def lake_location(folders: Folders) -> LakeLocation:
    """The location of a data folder's lake by its settings. Raises SettingsError."""
    settings = settings_in_force(folders.data).lake
    files = Path(settings.data_path) if settings.data_path else folders.lake
    if settings.catalog.startswith(POSTGRES):
        catalog = PostgresCatalog(settings.catalog.removeprefix(POSTGRES))
        return LakeLocation(catalog, files, settings.reader_memory)
    return LakeLocation(SqliteCatalog(folders.catalog), files, settings.reader_memory)


def make_files(location: LakeLocation) -> None:
    """Create the folder of the lake's files if it is missing. Raises SettingsError."""
    try:
        location.files.mkdir(exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"lake.data_path '{location.files}' cannot be used ({error.strerror}): create "
            "that folder and give this user write permission, or correct [lake] in hoursight.toml"
        ) from error


class LeaderLock:
    """Leader lock of a PostgreSQL catalog: an advisory lock on a connection of its own."""

    def __init__(self, catalog: PostgresCatalog) -> None:
        began = time.perf_counter()
        self._connection = duckdb.connect()
        with ExitStack() as undo:
            undo.callback(self.close)
            self._take(catalog)
            undo.pop_all()
        took_ms = 1000 * (time.perf_counter() - began)
        log.debug("leader lock of %s taken in %.1f ms", catalog, took_ms)

    def _take(self, catalog: PostgresCatalog) -> None:
        load_extension(self._connection, catalog.extension)
        address = catalog.address.replace("'", "''")
        self._connection.execute(f"ATTACH '{address}' AS guard (TYPE postgres)")
        # The scanner resets a connection that returns to its pool, which would release the lock. An
        # open transaction keeps ours out of the pool; on the server it is ended right away, so that
        # it does not block vacuum.
        self._connection.execute("BEGIN")
        self._connection.execute(
            "CALL postgres_execute('guard', $s)", {"s": f"COMMIT; {KEEPALIVE}"}
        )
        if not self._fetch(f"SELECT pg_try_advisory_lock({LEADER_LOCK_KEY})"):
            raise LeaderLockLost(
                f"another writer, maybe of another host, uses {catalog}: stop it, or use another "
                "database"
            )

    def check(self) -> None:
        """Raise LeaderLockLost unless this process still has the lock."""
        high, low = divmod(LEADER_LOCK_KEY, 1 << 32)
        query = (
            "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid = "
            f"pg_backend_pid() AND classid = {high} AND objid = {low})"
        )
        try:
            locked = self._fetch(query)
        except duckdb.Error as error:
            raise LeaderLockLost(f"the server has closed the connection: {error}") from error
        if not locked:
            raise LeaderLockLost("the server has released the lock")

    def close(self) -> None:
        """Release the lock."""
        with suppress(
            duckdb.Error
        ):  # closing a broken connection in a transaction aborts the process
            self._connection.execute("ROLLBACK")
        self._connection.close()

    def _fetch(self, sql: str) -> bool:
        row = self._connection.execute(
            "FROM postgres_query('guard', $sql)", {"sql": sql}
        ).fetchone()
        return bool(row and row[0])


class DataPathLink:
    """Symbolic link by which the writer names the lake's files; it can be detached from them.

    When the reply to a COMMIT is lost, DuckLake regards it as failed and deletes the files that the
    catalog now names (1.5.5). Through a detached link it cannot delete them.
    """

    def __init__(self, path: Path, files: Path) -> None:
        self.path, self._files = path, files
        self._point_at(files)

    @contextmanager
    def detached(self) -> Iterator[None]:
        """Context: the link leads nowhere, so that the files cannot be deleted through it."""
        self._point_at(self.path.with_suffix(".detached"))
        try:
            yield
        finally:
            self._point_at(self._files)

    def _point_at(self, target: Path) -> None:
        new = self.path.with_suffix(".new")
        new.unlink(missing_ok=True)
        os.symlink(target, new)
        new.replace(self.path)
