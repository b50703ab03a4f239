"""The last sample of each server, in a small file beside the lake that each commit replaces.

The file tells which snapshot it goes with. A reader takes it only when that is the one it sees, so
that nobody is told anything else than the lake would say, however a process ended.
"""

from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from storage.config.folders import Folders
from storage.model.schema import TIMESTAMP

__all__ = ["SINCE", "SNAPSHOT", "LastValues", "read_last_values"]

SNAPSHOT, SINCE = b"snapshot", b"since"


@dataclass(frozen=True, slots=True)
class LastValues:
    """What the file says: one row a server that has a sample `since` then."""

    rows: pa.Table
    snapshot: int
    since: datetime

    def between(self, start: datetime, stop: datetime) -> pa.Table | None:
        """The last sample of each server from `start` to `stop`; None when it cannot be told."""
        newest = pc.max(self.rows["ts"]).as_py()
        if newest is None or newest > stop or start < self.since:
            return None
        return self.rows.filter(pc.greater_equal(self.rows["ts"], pa.scalar(start, TIMESTAMP)))


def read_last_values(folders: Folders) -> LastValues | None:
    """What the file says; None when there is none, or no whole one."""
    try:
        with pa.OSFile(str(folders.last_values)) as file, pa.ipc.open_file(file) as parts:
            rows = parts.read_all()
        told = rows.schema.metadata
        since = datetime.fromisoformat(told[SINCE].decode())
        return LastValues(rows, int(told[SNAPSHOT]), since)
    except (OSError, pa.ArrowException):
        return None
