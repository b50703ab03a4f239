"""Health of the lake's files: the damaged ones that were put aside, and how far the scrub is."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import msgspec

from storage.config.folders import Folders
from storage.lake.hash_manifest import FileHash

__all__ = ["DamageRecord", "ScrubState", "damage_records", "read_scrub_state"]


@dataclass(frozen=True, slots=True)
class DamageRecord:
    """A file that was put aside: why, when, and the rows that it held."""

    path: str
    table: str
    rows: int
    why: str
    held: str
    at: datetime
    masked: bool  # some of its rows had been deleted or replaced
    hash: FileHash | None = None  # as it was written, where known

    def __str__(self) -> str:
        return f"lake/{self.path} {self.why}: {self.rows:,} rows of {self.table} ({self.held})"


def damage_records(folders: Folders) -> list[DamageRecord]:
    """The files that were put aside, oldest first; a record that cannot be read is left out."""
    records = []
    for path in folders.damaged.glob("*.json"):
        with suppress(OSError, msgspec.MsgspecError):
            records.append(msgspec.json.decode(path.read_bytes(), type=DamageRecord))
    return sorted(records, key=lambda each: (each.at, each.path))


class ScrubState(msgspec.Struct):
    """How far the present round has come, and when the last one ended.

    `after` is the path of the last file that was read; sizes are in bytes. `adopted` files had no
    known hash, which was recorded.
    """

    began: datetime
    after: str = ""
    files: int = 0
    bytes: int = 0
    adopted: int = 0
    damaged: int = 0
    total_bytes: int = 0
    ended: datetime | None = None
    last_round_ended: datetime | None = None
    last_round_files: int = 0


def read_scrub_state(folders: Folders) -> ScrubState | None:
    """The state that the writer saved last; None if there is none yet."""
    try:
        return msgspec.json.decode(folders.scrub.read_bytes(), type=ScrubState)
    except (OSError, msgspec.MsgspecError):
        return None
