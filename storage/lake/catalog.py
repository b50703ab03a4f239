"""Where a lake is: its catalog, a SQLite file or a PostgreSQL database, and its folder of files."""

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
from storage.platform.durability import disk_problem

__all__ = [
    "DataPathLink",
    "ExtensionMissing",
    "LakeLocation",
    "LeaderLock",
    "LeaderLockLost",
    "PostgresCatalog",
    "SqliteCatalog",
    "lake_location",
    "load_extension",
    "make_files",
]  # fmt: skip

log = logging.getLogger(__name__)

# The catalog waits this long for a lock before it gives up.
BUSY_TIMEOUT_MS = 10_000
# Which advisory lock the writer of a catalog holds: "hoursig" as a number.
LEAD = int.from_bytes(b"hoursig")
# A writer's host that is gone is noticed, and its lock free again, after idle + count * interval.
KEEPALIVE = "SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; "
KEEPALIVE += "SET tcp_keepalives_count = 3"


class ExtensionMissing(HoursightError):
    """A package that this kind of catalog needs is not installed; the message names it."""


class LeaderLockLost(HoursightError, ConnectionError):
    """This process may not write the catalog: another writer does, or the server forgot us."""

    retryable = True


def load_extension(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Load a DuckDB extension; on a machine's first use it is copied from its Python package."""
    try:
        connection.execute(f"LOAD {name}")
    except duckdb.Error:
        from duckdb_extensions import import_extension

        try:
            log.debug("DuckDB's extension %s is taken from its package", name)
            import_extension(name)
        except ModuleNotFoundError as error:
            extra = "[postgres]" if name == "postgres_scanner" else ""
            raise ExtensionMissing(
                f"DuckDB's extension {name} is missing: pip install 'hoursight{extra}'"
            ) from error
        connection.execute(f"LOAD {name}")


@dataclass(frozen=True, slots=True)
class SqliteCatalog:
    """A file in the data folder: for the processes of one host."""

    path: Path
    extension = "sqlite_scanner"
    networked = False

    def __str__(self) -> str:
        return str(self.path)

    @property
    def url(self) -> str:
        """What stands behind `ducklake:`."""
        return f"sqlite:{self.path}"

    @property
    def options(self) -> str:
        """What ATTACH is told beside where the files are."""
        return f", META_BUSY_TIMEOUT {BUSY_TIMEOUT_MS}"

    def identity(self) -> object:
        """Another one when it was put in place of this; None when there is none."""
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            return None
        return stat.st_dev, stat.st_ino

    def diagnose(self, error: Exception) -> Diagnosis | None:  # noqa: ARG002 - the disk itself is asked
        """Why it cannot be used, with the remedy, where that is known."""
        return disk_problem(self.path.parent)


@dataclass(frozen=True, slots=True)
class PostgresCatalog:
    """A PostgreSQL database: for readers on several hosts."""

    address: str
    extension = "postgres_scanner"
    networked = True
    options = ""

    def __str__(self) -> str:
        return f"the PostgreSQL catalog ({self.address})"

    @property
    def url(self) -> str:
        """What stands behind `ducklake:`."""
        return f"{POSTGRES}{self.address}"

    def identity(self) -> object:
        """Only the settings tell one from another."""
        return self.address

    def diagnose(self, error: Exception) -> Diagnosis | None:
        """Why it cannot be used, with the remedy, where that is known."""
        if not is_server_unreachable(error):
            return None
        reason = server_reason(error)
        return Diagnosis(
            f"{self} does not answer{f' ({reason})' if reason else ''}",
            "start the server, or mend [lake] catalog in hoursight.toml; a password belongs into "
            "PGPASSWORD or a pgpass file",
        )


@dataclass(frozen=True, slots=True)
class LakeLocation:
    """Where one lake is."""

    catalog: SqliteCatalog | PostgresCatalog
    files: Path


def lake_location(folders: Folders) -> LakeLocation:
    """Where the lake of a data folder is by its settings; raises SettingsError."""
    settings = settings_in_force(folders.data).lake
    files = Path(settings.data_path) if settings.data_path else folders.lake
    if settings.catalog.startswith(POSTGRES):
        return LakeLocation(PostgresCatalog(settings.catalog.removeprefix(POSTGRES)), files)
    return LakeLocation(SqliteCatalog(folders.catalog), files)


def make_files(home: LakeLocation) -> None:
    """Make the folder of the lake's files when it is missing; raises SettingsError."""
    try:
        home.files.mkdir(exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"lake.data_path is '{home.files}', which cannot be used ({error.strerror}): make that "
            "folder, and let this user write to it, or correct [lake] in hoursight.toml"
        ) from error


class LeaderLock:
    """The right to write a PostgreSQL catalog: an advisory lock on a connection of its own."""

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
        # The scanner clears a connection that it takes back, locks and all. Ours stays out; its
        # transaction is ended behind the scanner's back, for it would keep old rows from vacuum.
        self._connection.execute("BEGIN")
        self._connection.execute(
            "CALL postgres_execute('guard', $s)", {"s": f"COMMIT; {KEEPALIVE}"}
        )
        if not self._ask(f"SELECT pg_try_advisory_lock({LEAD})"):
            raise LeaderLockLost(
                f"another writer, maybe of another host, holds {catalog}: stop it, or use another "
                "database"
            )

    def check(self) -> None:
        """Raise LeaderLockLost unless the lock is still ours."""
        high, low = divmod(LEAD, 1 << 32)
        mine = (
            "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid = "
            f"pg_backend_pid() AND classid = {high} AND objid = {low})"
        )
        try:
            held = self._ask(mine)
        except duckdb.Error as error:
            raise LeaderLockLost(f"the server has ended our connection: {error}") from error
        if not held:
            raise LeaderLockLost("the server has let go of our lock")

    def close(self) -> None:
        """Let another writer write."""
        with suppress(duckdb.Error):  # a broken connection that is closed in a transaction aborts
            self._connection.execute("ROLLBACK")
        self._connection.close()

    def _ask(self, sql: str) -> bool:
        row = self._connection.execute(
            "FROM postgres_query('guard', $sql)", {"sql": sql}
        ).fetchone()
        return bool(row and row[0])


class DataPathLink:
    """The path by which a writer names the lake's files; it can be lifted from them.

    When the reply to a COMMIT is lost, DuckLake takes it for failed and deletes the files that the
    catalog now names (1.5.5). By a path that leads nowhere it deletes nothing.
    """

    def __init__(self, path: Path, files: Path) -> None:
        self.path, self._files = path, files
        self._point_at(files)

    @contextmanager
    def lifted(self) -> Iterator[None]:
        """While it lasts, nothing can be done to the files."""
        self._point_at(self.path.with_suffix(".lifted"))
        try:
            yield
        finally:
            self._point_at(self._files)

    def _point_at(self, target: Path) -> None:
        fresh = self.path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        os.symlink(target, fresh)
        fresh.replace(self.path)
