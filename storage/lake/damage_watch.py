"""Damage watch of the writer: finds damaged files after an error, a report, or in a check."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath
from typing import TypeVar

import duckdb

from storage.lake.damaged_files import TooManyDamaged, put_aside
from storage.lake.duckdb_errors import is_file_damage, named_file
from storage.lake.file_check import (
    FileDamage,
    LakeFile,
    check_content,
    check_decoding,
    check_presence,
    lake_files,
)
from storage.lake.file_health import DamageRecord
from storage.lake.file_reports import take_reports
from storage.lake.hash_manifest import FileHash
from storage.lake.transaction import WriteConnection

__all__ = ["DamageWatch"]

log = logging.getLogger(__name__)

T = TypeVar("T")
Check = Callable[[Path, LakeFile], FileDamage | None]


class DamageWatch:
    """Puts damaged files of a lake aside; what is not wrong with a file itself stays an error."""

    def __init__(self, connection: WriteConnection) -> None:
        self._connection = connection
        self._read_for: set[str] = set()  # errors for which all files were read in vain

    def beside_damage(self, work: Callable[[], T]) -> T:
        """The result of `work`, which is repeated each time that files were put aside for it."""
        while True:
            try:
                return work()
            except duckdb.Error as error:
                if not self.after(error):
                    raise

    def check_presence(self) -> list[DamageRecord]:
        """Put aside what is missing, unreadable or truncated; reads no whole file."""
        return self._put_aside(self.files(), check_presence)

    def after(self, error: Exception) -> list[DamageRecord]:
        """Put aside the files that may be the cause of `error`.

        If it names no file, all are read, newest first, until one is damaged.
        """
        if not is_file_damage(error):
            return []
        records = self.check_presence()
        name = named_file(error)
        if name is not None:
            return records + self.check_named([PurePath(name).name])
        if records or str(error) in self._read_for:
            return records
        log.warning("all files of the lake are read to find the damaged one: %s", error)
        records = self._first_damaged()
        if not records:
            self._read_for.add(str(error))
        return records

    def check_named(self, names: Sequence[str]) -> list[DamageRecord]:
        """Read the files of these names, without their folders, and put aside what is damaged."""
        files = [file for file in self.files() if file.name in names]
        return self._put_aside(files, self._content_check())

    def check_reported(self) -> bool:
        """Check what readers have reported; return True if one could not name the file."""
        names = take_reports(self._connection.folders)
        if any(names):
            self.check_presence()
            self.check_named(names)
        return "" in names

    def files(self) -> list[LakeFile]:
        """The files of the lake, in the order of their paths."""
        return lake_files(self._connection.run)

    def scrub(self, file: LakeFile, expected: FileHash | None) -> str:
        """Read a file from the disk, and put it aside if it is damaged.

        Returns "sound", "damaged", or "adopted": its hash was not known, and now is.
        """
        connection = self._connection
        problem = check_content(connection.folder, file, expected, from_disk=True)
        if problem is None and expected is None:
            problem = check_decoding(connection.folder, file)
        if problem is not None:
            return "damaged" if self._set_aside([problem]) else "sound"  # it was merged meanwhile
        if expected is not None:
            return "sound"
        connection.manifest.record([connection.folder / file.path])
        return "adopted"

    def hashes(self) -> dict[str, FileHash]:
        """The known hashes by path."""
        return self._connection.manifest.read().hashes

    def _first_damaged(self) -> list[DamageRecord]:
        check = self._content_check()
        newest_first = sorted(self.files(), key=lambda file: -file.data_file_id)
        for file in newest_first:
            if check(self._connection.folder, file):
                return self._put_aside([file], check)
        return []

    def _content_check(self) -> Check:
        hashes = self.hashes()
        return lambda folder, file: check_content(folder, file, hashes.get(file.path))

    def _put_aside(self, files: Sequence[LakeFile], check: Check) -> list[DamageRecord]:
        folder = self._connection.folder
        return self._set_aside([problem for file in files if (problem := check(folder, file))])

    def _set_aside(self, damaged: Sequence[FileDamage]) -> list[DamageRecord]:
        try:
            return put_aside(self._connection, damaged) if damaged else []
        except TooManyDamaged as error:
            log.error("%s", error)
            return []
