"""`hoursight verify`: reads all files of the lake and compares their hashes."""

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb

from scripts.cli.backup_restore import percent_steps
from storage.config.folders import Folders
from storage.config.settings import schema_of
from storage.lake.attach import attach_reader
from storage.lake.catalog import lake_location
from storage.lake.damaged_files import damage_records
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

__all__ = ["verify_lake"]

Print = Callable[[str], None]


def verify_lake(data: Path, adopt: bool, say: Print) -> bool:
    """Check all files, print what is wrong, and return True if nothing is.

    With `adopt` the hashes of files that have none are recorded. Raises LakeMissing,
    LakeUnreadable and OSError.
    """
    folders, began = Folders.at(data), time.monotonic()
    with closing(attach_reader(folders)) as connection:
        verification = _Verification(folders, connection, adopt)
        problems = verification.problems(say)
        for problem in problems:
            say(f"BAD  {verification.sentence(problem)}")
            report_file(folders, problem.file.path)
    if problems:
        say("     → The running writer puts them aside; 'hoursight up' does so at its start.")
    for record in damage_records(folders):
        say(f"put aside at {record.at.isoformat(timespec='seconds')}: {record}")
    _summarize(verification, len(problems), time.monotonic() - began, say)
    return not problems


def _summarize(verification: "_Verification", bad: int, seconds: float, say: Print) -> None:
    files = verification.files
    size_mb = sum(file.bytes for file in files) / 1e6
    unknown, adopted = verification.unknown, verification.adopted
    sound = len(files) - bad - unknown - adopted
    say(
        f"{len(files):,} files, {size_mb:,.1f} MB in {seconds:.1f} s: {sound:,} are as they were "
        f"written, {bad:,} are not"
    )
    if verification.damaged_lines:
        say(f"{verification.damaged_lines:,} lines of {verification.manifest} are damaged")
    if adopted:
        say(f"{adopted:,} had no known hash; it is recorded now")
    if unknown:
        say(
            f"{unknown:,} have no known hash: they are of an earlier version. The running writer "
            "records it within days, 'hoursight verify --adopt' at once"
        )


class _Verification:
    def __init__(
        self, folders: Folders, connection: duckdb.DuckDBPyConnection, adopt: bool
    ) -> None:
        self._connection, self._adopt = connection, adopt
        self._schema, self._folder = schema_of(folders), lake_location(folders).files
        self._hashes = HashManifest(self._folder)
        self.unknown = self.adopted = 0
        self.files = lake_files(self._run)
        contents = self._hashes.read()  # after the files, whose hashes are older
        self._known, self.damaged_lines = contents.hashes, contents.damaged_lines

    @property
    def manifest(self) -> Path:
        return self._hashes.path

    def sentence(self, problem: FileDamage) -> str:
        file = problem.file
        if file.is_mask:
            return f"{problem}: it masks deleted rows of {file.table}"
        held = held_rows(self._run, file, self._schema)
        return f"lake/{problem}: {file.rows:,} rows of {file.table} ({held})"

    def problems(self, say: Print) -> list[FileDamage]:
        """What is wrong with files that the lake has still at the end."""
        report, done, total = percent_steps(say), 0, sum(file.bytes for file in self.files)
        problems = []
        for file in self.files:
            problem = self._check(file)
            if problem is not None:
                problems.append(problem)
            done += file.bytes
            report(done, total)
        live = {file.path for file in lake_files(self._run)} if problems else set()
        return [each for each in problems if each.file.path in live]

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
