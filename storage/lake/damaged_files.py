"""Damaged files of the lake: put aside with words, so that everything else goes on.

The catalog forgets the file as if its rows had been deleted, and the file moves to the data
folder's `damaged/`, with a record of what it held.
"""

import logging
import os
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from storage.errors import HoursightError
from storage.inbox.notify import notify
from storage.lake.file_check import FileDamage, LakeFile, held_rows, lake_files
from storage.lake.file_health import DamageRecord
from storage.lake.transaction import WriteConnection
from storage.platform.durability import fsync_directory, sync_file

__all__ = ["TooManyDamaged", "put_aside"]

log = logging.getLogger(__name__)

METADATA = "__ducklake_metadata_lake"
# More files than this at once are not damage but a disk that is not mounted, or wrong permissions.
MOST_AT_ONCE, MOST_SHARE = 3, 0.1


class TooManyDamaged(HoursightError):
    """So many files are missing or unreadable that a person has to look first."""


def put_aside(connection: WriteConnection, damaged: Sequence[FileDamage]) -> list[DamageRecord]:
    """Put files aside, and report each in the log. Raises TooManyDamaged, with nothing changed.

    With a mask its data file goes too: without it, deleted rows would come back.
    """
    files = lake_files(connection.run)
    live = {file.path for file in files}
    damaged = [each for each in damaged if each.file.path in live]
    if not damaged:
        return []
    _check_number(damaged, files, connection.folder)
    why = {each.file.data_file_id: each.why for each in damaged if not each.file.is_mask}
    for each in damaged:
        if each.file.is_mask:
            why.setdefault(each.file.data_file_id, f"has lost its mask: {each}")
    gone = [file for file in files if file.data_file_id in why]
    masked = {file.data_file_id for file in gone if file.is_mask}
    now, hashes = datetime.now(UTC), connection.manifest.read().hashes
    records = [
        DamageRecord(
            each.path, each.table, each.rows, why[each.data_file_id],
            held_rows(connection.run, each, connection.schema), now, each.data_file_id in masked,
            hashes.get(each.path),
        )
        for each in gone if not each.is_mask
    ]  # fmt: skip
    for record in records:
        _write(connection.folders.damaged, record)
    places = {connection.folder / f.path: connection.folders.damaged / f.name for f in gone}
    for path, place in places.items():  # before the catalog forgets it: maintenance removes it then
        _copy(path, place)
    connection.transaction(lambda: _forget(connection, gone))
    for path, place in places.items():
        _remove(path, place)
    connection.generation += 1  # what is cached of the lake is read again
    notify(connection.folders, {record.table for record in records})
    for record in records:
        log.error("%s. It is put aside in %s", record, connection.folders.damaged)
    return records


def _check_number(damaged: Sequence[FileDamage], files: Sequence[LakeFile], folder: Path) -> None:
    most = max(MOST_AT_ONCE, MOST_SHARE * len(files))
    if len(damaged) > most or (len(damaged) > 1 and len(damaged) == len(files)):
        raise TooManyDamaged(
            f"{len(damaged)} of the {len(files)} files in {folder} are missing or damaged, for "
            f"example {damaged[0]}: mount its disk, correct its permissions, or restore a backup"
        )


def _write(folder: Path, record: DamageRecord) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{Path(record.path).name}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=1))
    sync_file(path)
    fsync_directory(folder)


def _copy(path: Path, place: Path) -> None:
    with suppress(OSError):
        try:
            os.link(path, place)
        except OSError:  # another disk
            shutil.copy2(path, place)


def _remove(path: Path, place: Path) -> None:
    """Remove a file that was put aside; what could not be read may stay."""
    try:
        if place.exists():
            path.unlink(missing_ok=True)
        else:
            path.rename(place)
    except OSError as error:
        log.warning("%s stays where it is: %s", path, error.strerror)


def _forget(connection: WriteConnection, gone: Iterable[LakeFile]) -> None:
    """End the files' entries in the catalog with a snapshot of its own, as a DELETE does."""
    changes = ",".join(sorted({f"deleted_from_table:{file.table_id}" for file in gone}))
    connection.run(
        f"INSERT INTO {METADATA}.ducklake_snapshot SELECT snapshot_id + 1, $now, schema_version, "
        f"next_catalog_id, next_file_id FROM {METADATA}.ducklake_snapshot "
        "ORDER BY snapshot_id DESC LIMIT 1",
        now=datetime.now(UTC),
    )
    newest = connection.value(f"SELECT max(snapshot_id) FROM {METADATA}.ducklake_snapshot")
    connection.run(
        f"INSERT INTO {METADATA}.ducklake_snapshot_changes (snapshot_id, changes_made) "
        "VALUES ($newest, $changes)",
        newest=newest, changes=changes,
    )  # fmt: skip
    ids = sorted({file.data_file_id for file in gone})
    for kind in ("data", "delete"):
        connection.run(
            f"UPDATE {METADATA}.ducklake_{kind}_file SET end_snapshot = $newest "
            "WHERE end_snapshot IS NULL AND data_file_id IN $ids",
            newest=newest, ids=ids,
        )  # fmt: skip
