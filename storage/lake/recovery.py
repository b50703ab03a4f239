"""Recovery of damaged files: a sound copy of one that was put aside goes back through the inbox.

There its rows are committed as if they were sent again: those that the lake has by now stay.
"""

import hashlib
import tarfile
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq

from storage.config.folders import Folders
from storage.config.settings import schema_of
from storage.inbox import segment
from storage.inbox.segment import Provenance
from storage.lake.attach import attach_reader
from storage.lake.backup_archive import BackupRefused
from storage.lake.file_health import DamageRecord, damage_records
from storage.lake.hash_manifest import DIGEST_BYTES

__all__ = ["recover"]

FUNCTION = "verify"


def recover(data: Path | str, archive: Path | None, now: datetime) -> Iterator[str]:
    """Recover what can be, from `damaged/` or a backup; yields a sentence for each file.

    Raises LakeMissing, LakeUnreadable, BackupRefused for a damaged backup, and SegmentNotWritten.
    """
    folders = Folders.at(data)
    deleted_at = _last_deletion(folders)
    for record in damage_records(folders):
        problem = _obstacle(record, deleted_at)
        content = None if problem else _sound_copy(folders, record, archive)
        if content is not None:
            _send_again(folders, record, content, now)
        elif problem is None:
            where = f" nor in {archive}" if archive else "; name a backup that may have it"
            problem = f"there is no sound copy in {folders.damaged}{where}"
        outcome = f"not taken back: {problem}" if problem else "its rows are in the inbox"
        yield f"lake/{record.path} ({record.rows:,} rows of {record.table}): {outcome}"


def _last_deletion(folders: Folders) -> datetime | None:
    with closing(attach_reader(folders)) as connection:
        [(newest,)] = connection.execute("SELECT max(ts) FROM deletions").fetchall()
    return newest if newest is None else datetime.fromisoformat(str(newest))


def _obstacle(record: DamageRecord, deleted_at: datetime | None) -> str | None:
    if record.masked:
        return "some of its rows had been deleted or replaced, and it does not say which"
    if record.hash is None:
        return "its hash was not known"
    if deleted_at is not None and deleted_at >= record.at:
        return "a server was deleted since, whose rows it may have"
    return None


def _sound_copy(folders: Folders, record: DamageRecord, archive: Path | None) -> bytes | None:
    """The content of a copy with the hash that the file was written with."""
    for content in _copies(folders, record, archive):
        digest = hashlib.blake2b(content, digest_size=DIGEST_BYTES).hexdigest()
        if record.hash is not None and digest == record.hash.digest:
            return content
    return None


def _copies(folders: Folders, record: DamageRecord, archive: Path | None) -> Iterator[bytes]:
    with suppress(OSError):
        yield (folders.damaged / _name(record)).read_bytes()
    if archive is None:
        return
    try:
        with tarfile.open(archive, "r:") as tar:
            source = tar.extractfile(f"lake/{record.path}")
            if source is not None:
                yield source.read()
    except KeyError:
        return
    except (tarfile.TarError, EOFError, OSError) as error:
        raise BackupRefused(f"{archive} cannot be read ({error}): use another backup") from error


def _send_again(folders: Folders, record: DamageRecord, content: bytes, now: datetime) -> None:
    rows = pq.read_table(pa.BufferReader(content))
    known = schema_of(folders).table(record.table).names
    rows = rows.select([name for name in rows.column_names if name in known])
    assert record.hash is not None
    provenance = Provenance(record.table, FUNCTION, now, batch_id=record.hash.digest)
    segment.write(folders, rows, provenance)
    for name in (_name(record), f"{_name(record)}.json"):
        (folders.damaged / name).unlink(missing_ok=True)


def _name(record: DamageRecord) -> str:
    return PurePosixPath(record.path).name
