"""The lake's files of a backup: links to them, each compared with its hash; damaged ones stay out.

They also leave the copied catalog, so that the backup is a lake of all other rows.
"""

import os
import shutil
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage.config.folders import Folders
from storage.config.settings import schema_of
from storage.errors import HoursightError
from storage.lake.attach import SQL
from storage.lake.file_check import (
    FileDamage,
    LakeFile,
    check_content,
    damage_of,
    held_rows,
    lake_files,
)
from storage.lake.file_reports import report_file
from storage.lake.hash_manifest import FileHash, HashManifest, write_manifest

__all__ = ["FileRemoved", "StagedFiles", "link", "stage_files"]

PREFIX = "__ducklake_metadata_lake."
OF_DATA_FILES = ("data_file", "delete_file", "file_column_stats", "file_partition_value")


class FileRemoved(HoursightError):
    """A file that the copied catalog names is not there: removed by maintenance, or missing."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


@dataclass(frozen=True, slots=True)
class StagedFiles:
    """Sentences about the files that were left out, and the number of those without a hash."""

    left_out: tuple[str, ...]
    unverified: int


def stage_files(folders: Folders, files: Path, staged: Folders, missing: set[str]) -> StagedFiles:
    """Link the files that the copied catalog names, and write their hashes beside them.

    Those in `missing` are known to be missing; raises FileRemoved for another that is.
    """
    hashes = HashManifest(files).read().hashes
    with closing(sqlite3.connect(staged.catalog)) as copy:
        copy.execute("DELETE FROM ducklake_files_scheduled_for_deletion")
        catalog = _Copy(copy)
        live = {file.path: file for file in lake_files(catalog.run)}
        linked, problems = [], []
        for path in catalog.named():
            problem = _stage_file(path, live.get(path), files, staged.lake, hashes, missing)
            if problem is None:
                linked.append(path)
            else:
                problems.append(problem)
        left_out = tuple(catalog.sentence(problem, folders) for problem in problems)
        catalog.forget(problem.file.data_file_id for problem in problems)
    for problem in problems:
        report_file(folders, problem.file.path)
        (staged.lake / problem.file.path).unlink(missing_ok=True)
    known = {path: hashes[path] for path in linked if path in hashes}
    write_manifest(HashManifest(staged.lake).path, known)
    return StagedFiles(left_out, len(linked) - len(known))


def link(path: Path, target: Path) -> None:
    """Link a file, or copy it where the file system has no hard links. Raises OSError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copy2(path, target)


def _stage_file(
    path: str,
    file: LakeFile | None,
    files: Path,
    target: Path,
    hashes: dict[str, FileHash],
    missing: set[str],
) -> FileDamage | None:
    """Link one file and check it; `file` is None for one that only older snapshots have."""
    try:
        link(files / path, target / path)
    except FileNotFoundError as error:
        if file is None or path not in missing:
            raise FileRemoved(path) from error
        return FileDamage(file, "missing", "is missing")
    except OSError as error:
        if file is None:
            raise
        return damage_of(file, error)
    return None if file is None else check_content(target, file, hashes.get(path))


class _Copy:
    """The copied catalog."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def run(self, sql: str, **parameters: Any) -> sqlite3.Cursor:
        return self._connection.execute(sql.replace(PREFIX, ""), parameters)

    def named(self) -> list[str]:
        """The files of all snapshots, each once."""
        return sorted({path for (path,) in self.run((SQL / "named_files.sql").read_text())})

    def sentence(self, problem: FileDamage, folders: Folders) -> str:
        held = held_rows(self.run, problem.file, schema_of(folders))
        return f"lake/{problem}: {problem.file.rows:,} rows of {problem.file.table} ({held})"

    def forget(self, ids: Iterable[int]) -> None:
        """Remove the entries of data files, and of their masks."""
        for each in set(ids):
            for table in OF_DATA_FILES:
                self.run(f"DELETE FROM ducklake_{table} WHERE data_file_id = $id", id=each)
        self._connection.commit()
