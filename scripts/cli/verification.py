"""`hoursight verify`: prints which files of the lake are not as they were written."""

import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from scripts.cli.backup_restore import percent_steps
from storage.config.folders import Folders
from storage.lake.file_health import damage_records
from storage.lake.recovery import recover
from storage.lake.verification import Verification

__all__ = ["recover_files", "verify_lake"]

Print = Callable[[str], None]


def verify_lake(data: Path, adopt: bool, say: Print) -> bool:
    """Check all files, print what is wrong, and return True if nothing is.

    With `adopt` the hashes of files that have none are recorded. Raises LakeMissing,
    LakeUnreadable and OSError.
    """
    began = time.monotonic()
    with closing(Verification(data, adopt=adopt)) as verification:
        problems = verification.problems(percent_steps(say))
        for problem in problems:
            say(f"BAD  {verification.sentence(problem)}")
    if problems:
        say("     → The running writer puts them aside; 'hoursight up' does so at its start.")
    for record in damage_records(Folders.at(data)):
        say(f"put aside at {record.at.isoformat(timespec='seconds')}: {record}")
    _summarize(verification, len(problems), time.monotonic() - began, say)
    return not problems


def recover_files(data: Path, backup: Path | None, say: Print) -> None:
    """Take back the rows of files that were put aside, and print what came of each.

    Raises LakeMissing, LakeUnreadable, BackupRefused and SegmentNotWritten.
    """
    for sentence in recover(data, backup, datetime.now(UTC)):
        say(sentence)


def _summarize(verification: Verification, bad: int, seconds: float, say: Print) -> None:
    files, unknown, adopted = verification.files, verification.unknown, verification.adopted
    size_mb = sum(file.bytes for file in files) / 1e6
    sound = len(files) - bad - unknown - adopted
    say(
        f"{len(files):,} files, {size_mb:,.1f} MB in {seconds:.1f} s: {sound:,} as they were "
        f"written, {bad:,} damaged"
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
