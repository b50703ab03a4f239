"""Verification of a lake beside the running system: reads all files, compares their hashes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb

from storage.config.folders import Folders
from storage.config.settings import schema_of
from storage.lake.attach import attach_reader
from storage.lake.catalog import lake_location
from storage.lake.file_check import (
    FileDamage,
    LakeFile,
    check_content,
    check_decoding,
    held_rows,
    lake_files,
)
from storage.lake.file_reports import report_file
from storage.lake.hash_manifest import HashManifest

__all__ = ["Verification"]


class Verification:
    """The files of a lake as of the beginning, and what came of their check.

    With `adopt` the hashes of files that have none are recorded. `unknown` files had no hash.
    Raises LakeMissing and LakeUnreadable.
    """

    def __init__(self, data: Path | str, *, adopt: bool = False) -> None:
        self._folders, self._adopt = Folders.at(data), adopt
        self._connection = attach_reader(self._folders)
        self._schema = schema_of(self._folders)
        self._folder = lake_location(self._folders).files
        self._hashes = HashManifest(self._folder)
        self.unknown = self.adopted = 0
        self.files = lake_files(self._run)
        contents = self._hashes.read()  # after the files, whose hashes are older
        self._known, self.damaged_lines = contents.hashes, contents.damaged_lines

    @property
    def manifest(self) -> Path:
        """The file with the hashes."""
        return self._hashes.path

    def close(self) -> None:
        """Close the lake."""
        self._connection.close()

    def problems(self, on_progress: Callable[[int, int], None]) -> list[FileDamage]:
        """What is wrong with files that the lake still has at the end; reports it to the writer.

        `on_progress` is called with the bytes done and the total. Raises OSError when hashes cannot
        be recorded.
        """
        done, total = 0, sum(file.bytes for file in self.files)
        problems = []
        for file in self.files:
            problem = self._check(file)
            if problem is not None:
                problems.append(problem)
            done += file.bytes
            on_progress(done, total)
        live = {file.path for file in lake_files(self._run)} if problems else set()
        live_problems = [each for each in problems if each.file.path in live]
        for each in live_problems:
            report_file(self._folders, each.file.path)
        return live_problems

    def sentence(self, problem: FileDamage) -> str:
        """What is wrong with a file, and the rows that it holds."""
        file = problem.file
        if file.is_mask:
            return f"lake/{problem}: it masks deleted rows of {file.table}"
        held = held_rows(self._run, file, self._schema)
        return f"lake/{problem}: {file.rows:,} rows of {file.table} ({held})"

    def _check(self, file: LakeFile) -> FileDamage | None:
        expected = self._known.get(file.path)
        problem = check_content(self._folder, file, expected)
        if problem is not None or expected is not None:
            return problem
        if not self._adopt:
            self.unknown += 1
            return None
        problem = check_decoding(self._folder, file)
        if problem is None:
            self._hashes.record([self._folder / file.path])
            self.adopted += 1
        return problem

    def _run(self, sql: str, **parameters: Any) -> duckdb.DuckDBPyConnection:
        return self._connection.execute(sql, parameters or None)
