"""Backups: one file with a whole data folder, made while everything runs, and its way back.

A backup is a tar file: first `hoursight.json` (which says what it is), then the files of a data
folder, last `manifest.json` with the hash of each file and the rows of each table. It is made by a
reader alone: Parquet files never change, so that links to them and a copy of the catalog are a
whole lake as of one snapshot.
"""

import glob
import hashlib
import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO, Any

import duckdb
import msgspec

from storage.config.folders import Folders
from storage.config.settings import LakeSettings, read_settings, write_settings
from storage.errors import HoursightError, LakeMissing, LakeUnreadable
from storage.lake.attach import SQL, attach_copy, copy_catalog
from storage.lake.catalog import LakeLocation, PostgresCatalog, lake_location
from storage.platform.durability import disk_problem, fsync_directory
from storage.platform.failpoints import failpoint

__all__ = ["BackupRefused", "Manifest", "TableSum", "back_up", "drop_abandoned", "restore"]

FORMAT = 1
LABEL, MANIFEST = "hoursight.json", "manifest.json"
CHUNK_BYTES = 1 << 20
TRIES = 5
# Folders of which each file travels; of the lake those do that the catalog names.
TRAVELLING = ("inbox", "pending", "rejected", "models", "functions", "sources")
LEFT_BEHIND = (".partial", ".pyc")
MAX_MANIFEST_BYTES = 1 << 28

# The catalog as of one moment, WAL included. In a process of its own: closing a second SQLite
# connection would drop the locks of the process that has it attached.
COPY_CATALOG = """
import sqlite3, sys
source = sqlite3.connect(sys.argv[1], timeout=30)
source.execute("VACUUM INTO ?", (sys.argv[2],))
source.close()
"""
# No module of that name in the working directory must stand in for Python's own.
COPY = (sys.executable, "-I", "-S", "-c", COPY_CATALOG)

Tell = Callable[[int, int], None]


def _silently(_done: int, _total: int) -> None:
    """Who does not want to know how far it has got."""


class BackupRefused(HoursightError):
    """A backup cannot be made or put back; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class TableSum:
    """What a table holds: its rows, and the sum of their hashes, which no order changes."""

    rows: int
    hash_sum: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds; `files` are SHA-256 by path, `engine` is what hashed the rows."""

    made_at: str
    snapshot: int
    engine: str
    tables: dict[str, TableSum]
    files: dict[str, str] = field(default_factory=dict)

    def encode(self) -> bytes:
        """The JSON that travels in the archive."""
        return json.dumps(asdict(self), indent=1).encode()

    @classmethod
    def decode(cls, text: bytes) -> "Manifest":
        """The reverse of `encode`; fields that a later version adds are left out."""
        told = json.loads(text)
        known = {name: told[name] for name in ("made_at", "snapshot", "engine", "files")}
        return cls(**known, tables={name: TableSum(**t) for name, t in told["tables"].items()})


def back_up(data: Path | str, target: Path, tell: Tell | None = None) -> Manifest:
    """Write a backup of the folder `data` to the file `target`, beside whatever runs.

    What lies in the inbox travels along, so that all that was taken by now is in it. `tell` is
    handed the bytes done and the bytes in all. Raises LakeMissing and BackupRefused.
    """
    folders = Folders.at(data)
    if lake_location(folders).catalog.identity() is None:
        raise LakeMissing(folders.data)
    if target.exists():
        raise BackupRefused(f"{target} is there already: name another file, or remove that one")
    _drop_partials(target)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        with _staged(folders) as staged:
            manifest = _summed(staged)
            _write(staged, partial, manifest, tell or _silently)
        failpoint("backup: archive written")
        partial.rename(target)
        fsync_directory(target.absolute().parent)
        failpoint("backup: archive named")
    except OSError as error:
        trouble = disk_problem(target.absolute().parent, error) or error
        raise BackupRefused(f"no backup was made: {trouble}") from error
    finally:
        partial.unlink(missing_ok=True)
    return manifest


def restore(archive: Path, data: Path | str, tell: Tell | None = None) -> Manifest:
    """Make the folder `data`, which must be new or empty, from a backup.

    It appears only when each file's hash, each table's row count and, by the same engine, the
    hash of its rows are as they were. The next writer brings it up to its own version. Raises
    BackupRefused.
    """
    target = Path(data).absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise BackupRefused(f"{target} is not empty: name a new folder with --data")
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        partial.mkdir(parents=True)
        manifest = _extract(archive, partial, tell or _silently)
        _verify(Folders.at(partial), manifest)
        _let_readers_in(Folders.at(partial).create())
        if target.exists():
            target.rmdir()
        partial.rename(target)
        fsync_directory(target.parent)
    except OSError as error:
        trouble = disk_problem(target.parent, error) or error
        raise BackupRefused(f"nothing was restored: {trouble}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return manifest


def drop_abandoned(folders: Folders) -> None:
    """Remove the links of backups that were killed: they would keep replaced files on the disk."""
    for left in folders.staging.glob("*"):
        if not _runs(left.name.partition("-")[0]):
            shutil.rmtree(left, ignore_errors=True)


def _drop_partials(target: Path) -> None:
    """Remove what backups into the same file have left that were killed."""
    for left in target.parent.glob(f".{glob.escape(target.name)}.*.partial"):
        if not _runs(left.name.split(".")[-2]):
            left.unlink(missing_ok=True)


def _runs(pid: str) -> bool:
    return Path("/proc", pid).exists()


@contextmanager
def _staged(folders: Folders) -> Iterator[Folders]:
    """A data folder of links to all that a backup holds, and a catalog of its own."""
    drop_abandoned(folders)
    place = folders.staging / f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
    try:
        yield _stage_patiently(folders, place)
    finally:
        shutil.rmtree(place, ignore_errors=True)
        with suppress(OSError):
            folders.staging.rmdir()


def _stage_patiently(folders: Folders, place: Path) -> Folders:
    for attempt in range(TRIES):
        with suppress(_Moved):
            return _stage(folders, Folders.at(place / str(attempt)))
    raise BackupRefused("files went faster than they could be linked: try again")


class _Moved(HoursightError):
    """A file that the catalog names went before it was linked."""


def _stage(folders: Folders, staged: Folders) -> Folders:
    staged.create()
    # Before the catalog: a segment that is committed in between is in both, and the ledger knows.
    for kind in TRAVELLING:
        for path in sorted(getattr(folders, kind).rglob("*")):
            if path.is_file() and path.suffix not in LEFT_BEHIND:
                with suppress(FileNotFoundError):
                    _link(path, staged.data / path.relative_to(folders.data))
    failpoint("backup: inbox linked")
    home = lake_location(folders)
    _copy_settings(folders, staged)
    _copy_catalog(home, staged)
    failpoint("backup: catalog copied")
    for place in _named(staged):
        try:
            _link(home.files / place, staged.lake / place)
        except FileNotFoundError as error:
            raise _Moved from error
    failpoint("backup: lake linked")
    return staged


def _copy_settings(folders: Folders, staged: Folders) -> None:
    """All but where the lake is: a folder that is restored from it is a lake of its own."""
    settings = read_settings(folders.data)
    if settings.lake != LakeSettings():
        write_settings(staged.data, msgspec.structs.replace(settings, lake=LakeSettings()))
    elif folders.settings.exists():
        shutil.copy2(folders.settings, staged.settings)


def _copy_catalog(home: LakeLocation, staged: Folders) -> None:
    if isinstance(home.catalog, PostgresCatalog):
        try:
            copy_catalog(home, staged.catalog, staged.lake)
        except duckdb.Error as error:
            reason = home.catalog.diagnose(error) or str(error)
            raise BackupRefused(f"the catalog could not be copied: {reason}") from error
        return
    copied = subprocess.run(
        [*COPY, str(home.catalog.path), str(staged.catalog)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if copied.returncode:
        reason = disk_problem(home.catalog.path.parent) or copied.stderr.strip().rpartition("\n")[2]
        raise BackupRefused(f"the catalog could not be copied: {reason}")


def _named(staged: Folders) -> list[str]:
    """The files that a copied catalog names; of ones that were to be removed it is relieved."""
    text = (SQL / "named_files.sql").read_text().replace("__ducklake_metadata_lake.", "")
    copy = sqlite3.connect(staged.catalog)
    try:
        copy.execute("DELETE FROM ducklake_files_scheduled_for_deletion")
        copy.commit()
        return [path for (path,) in copy.execute(text)]
    finally:
        copy.close()


def _link(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path, target)
    except FileNotFoundError:
        raise
    except OSError:  # a file system without links
        shutil.copy2(path, target)


def _summed(staged: Folders) -> Manifest:
    """What the staged lake holds."""
    connection = attach_copy(staged)
    try:
        found = connection.execute("FROM ducklake_current_snapshot('lake')").fetchone()
        tables = {name: _sum_of(connection, name) for name in _table_names(connection)}
    finally:
        connection.close()
    made_at = datetime.now(UTC).isoformat(timespec="seconds")
    return Manifest(made_at, int(found[0]) if found else 0, duckdb.__version__, tables)


def _table_names(connection: duckdb.DuckDBPyConnection) -> list[str]:
    rows = connection.execute(
        "SELECT table_name FROM duckdb_tables() WHERE database_name = 'lake' ORDER BY 1"
    ).fetchall()
    return [row[0] for row in rows]


def _sum_of(connection: duckdb.DuckDBPyConnection, name: str) -> TableSum:
    row = connection.execute(f'SELECT count(*), sum(hash(t)) FROM "{name}" AS t').fetchone()
    assert row is not None
    return TableSum(int(row[0]), str(row[1] or 0))


def _write(staged: Folders, target: Path, manifest: Manifest, tell: Tell) -> None:
    paths = sorted(p for p in staged.data.rglob("*") if p.is_file())
    total, done = sum(p.stat().st_size for p in paths), 0
    with target.open("wb") as file:
        with tarfile.open(fileobj=file, mode="w") as tar:
            _add(tar, LABEL, json.dumps({"format": FORMAT, "made_at": manifest.made_at}).encode())
            for path in paths:
                name = path.relative_to(staged.data).as_posix()
                with path.open("rb") as source:
                    hashed = _Hashed(source)
                    tar.addfile(_member(name, path.stat().st_size), hashed)
                manifest.files[name] = hashed.digest.hexdigest()
                done += path.stat().st_size
                tell(done, total)
            _add(tar, MANIFEST, manifest.encode())
        file.flush()
        os.fsync(file.fileno())


class _Hashed(io.RawIOBase):
    """A file that is hashed as it is read."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        chunk = self._source.read(size)
        self.digest.update(chunk)
        return chunk


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    return member


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    tar.addfile(_member(name, len(content)), io.BytesIO(content))


def _extract(archive: Path, target: Path, tell: Tell) -> Manifest:
    """Unpack into `target`; each file is as the manifest at the end says."""
    total = archive.stat().st_size
    found: dict[str, str] = {}
    try:
        with tarfile.open(archive, "r:") as tar:
            _check_label(archive, tar)
            for member in tar:
                if member.name == LABEL:
                    continue
                source = tar.extractfile(member)
                if source is None:
                    raise BackupRefused(f"{archive} is no backup: {member.name} is not a file")
                if member.name == MANIFEST:
                    manifest = Manifest.decode(source.read(MAX_MANIFEST_BYTES))
                    _check_files(archive, manifest, found)
                    return manifest
                found[member.name] = _unpack(source, target / _inside(archive, member.name))
                tell(member.offset_data + member.size, total)
    except (
        tarfile.TarError, EOFError, ValueError, KeyError, TypeError, RecursionError
    ) as error:  # fmt: skip
        raise BackupRefused(f"{archive} is truncated or damaged ({error}): take another") from error
    raise BackupRefused(f"{archive} is truncated: its end is missing; take another")


def _check_label(archive: Path, tar: tarfile.TarFile) -> None:
    first = tar.next()
    source = tar.extractfile(first) if first is not None and first.name == LABEL else None
    if source is None:
        raise BackupRefused(f"{archive} is no backup that 'hoursight backup' has made")
    told: dict[str, Any] = json.loads(source.read(CHUNK_BYTES))
    if told["format"] > FORMAT:
        raise BackupRefused(
            f"{archive} is of format {told['format']}, this program reads {FORMAT}: restore it "
            "with the version that made it, or a newer one"
        )


def _inside(archive: Path, name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise BackupRefused(f"{archive} is no backup: {name!r} leads out of the folder")
    return path


def _unpack(source: IO[bytes], target: Path) -> str:
    """Write a file to the disk; its SHA-256."""
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with target.open("xb") as file:
        while chunk := source.read(CHUNK_BYTES):
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _check_files(archive: Path, manifest: Manifest, found: dict[str, str]) -> None:
    wrong = [n for n, digest in manifest.files.items() if found.get(n) != digest]
    wrong += [n for n in found if n not in manifest.files]
    if wrong:
        raise BackupRefused(
            f"{archive} is damaged: {wrong[0]} and {len(wrong) - 1} other files are not as they "
            "were; take another"
        )


def _let_readers_in(restored: Folders) -> None:
    """Readers expect the catalog in WAL mode, which they may not set themselves."""
    with closing(sqlite3.connect(restored.catalog)) as catalog:
        catalog.execute("PRAGMA journal_mode = WAL")


def _verify(restored: Folders, manifest: Manifest) -> None:
    """Count and hash the rows again; raises BackupRefused for a table that differs."""
    try:
        now = _summed(restored)
    except (duckdb.Error, LakeUnreadable) as error:
        raise BackupRefused(f"the restored lake cannot be read: {error}") from error
    same_hash = now.engine == manifest.engine  # another version may hash otherwise
    for name, then in manifest.tables.items():
        held = now.tables.get(name, TableSum(0, "0"))
        if held.rows != then.rows or (same_hash and held.hash_sum != then.hash_sum):
            raise BackupRefused(
                f"{name} has {held.rows} rows, expected {then.rows}, or other values: take another "
                "backup"
            )
