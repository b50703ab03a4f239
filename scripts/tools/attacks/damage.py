"""Attacks on the lake's files: bits that flip, files that are cut off or disappear."""

import os
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from scripts.tools.attacks.attack import Answer, Attack, Instance
from storage.inbox.notify import last_commit
from storage.lake.file_check import LakeFile
from storage.lake.file_health import damage_records
from storage.lake.verification import Verification

__all__ = ["ATTACKS"]

PATIENCE_S = 60.0
POLL_S = 0.2


def _play(damage: Callable[[Path], Any], instance: Instance) -> Answer:
    """Damage the largest file of samples, verify, and wait until the writer commits beside it."""
    with closing(Verification(instance.folders.data)) as verification:
        samples = [file for file in verification.files if file.table == "metrics"]
        if not samples:
            return Answer("there are no samples", held=False)
        file = max(samples, key=lambda each: each.bytes)
        damage(instance.folders.lake / file.path)
        problems = verification.problems(lambda _done, _total: None)
    if file.path not in {each.file.path for each in problems}:
        return Answer("'hoursight verify' did not notice it", held=False)
    return _outcome(file, instance)


def _outcome(file: LakeFile, instance: Instance) -> Answer:
    give_up, seen = time.monotonic() + PATIENCE_S, None
    while time.monotonic() < give_up:
        aside = {record.path: record for record in damage_records(instance.folders)}
        committed = last_commit(instance.folders.data, datetime.now(UTC))
        if file.path in aside:
            seen = seen or committed
            if committed != seen:
                return Answer(f"put aside: {aside[file.path]}", held=True)
        time.sleep(POLL_S)
    return Answer("it was not put aside, or nothing was committed after it", held=False)


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 4] ^= 0x08
    path.write_bytes(content)


ATTACKS = (
    Attack("a flipped bit in a file of the lake", "disk", partial(_play, _flip)),
    Attack(
        "a file of the lake cut off", "disk", partial(_play, lambda path: os.truncate(path, 40))
    ),
    Attack("a file of the lake missing", "disk", partial(_play, Path.unlink)),
)
