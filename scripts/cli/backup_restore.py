"""`hoursight backup` and `restore`: print progress, size and what was verified."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

from storage.lake.backup import Manifest, OnProgress, back_up, restore

__all__ = ["percent_steps", "restore_backup", "take_backup"]

Print = Callable[[str], None]

STEP_PERCENT = 10


def take_backup(data: Path, target: Path, say: Print) -> None:
    """Back up a data folder, and print the contents of the backup. Raises BackupRefused."""
    began = time.monotonic()
    manifest = back_up(data, target, percent_steps(say))
    _say_damage(manifest, say)
    size_mb = target.stat().st_size / 1e6
    say(f"{target}: {_contents(manifest)}, {size_mb:.1f} MB in {time.monotonic() - began:.1f} s")


def restore_backup(archive: Path, data: Path, say: Print) -> None:
    """Restore a backup into a new folder, and print what was verified. Raises BackupRefused."""
    manifest = restore(archive, data, percent_steps(say))
    _say_damage(manifest, say)
    say(f"{data}: {_contents(manifest)}, as of {manifest.made_at}; each file and table verified")
    say(f"Start it with: hoursight up --data {data}")


def _say_damage(manifest: Manifest, say: Print) -> None:
    for sentence in manifest.left_out:
        say(f"BAD  left out: {sentence}")
    if manifest.left_out:
        say("     → An earlier backup may have these rows: keep it. See 'hoursight verify'.")
    if manifest.unverified:
        say(f"{manifest.unverified:,} files have no known hash: see 'hoursight verify'")


def _contents(manifest: Manifest) -> str:
    rows = sum(each.rows for each in manifest.tables.values())
    waiting = sum(1 for name in manifest.files if name.startswith("inbox/"))
    return f"{rows:,} rows in {len(manifest.tables)} tables, {waiting} waiting segments"


def percent_steps(say: Print) -> OnProgress:
    """Return a function that prints each further tenth, when stderr is a terminal."""
    printed = 0

    def report(done: int, total: int) -> None:
        nonlocal printed
        percent = 100 * done // max(1, total)
        if sys.stderr.isatty() and percent >= printed + STEP_PERCENT:
            printed = percent
            say(f"  {percent} %")

    return report
