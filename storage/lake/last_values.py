"""Reading the last-value cache: the newest sample of each server, replaced at each commit.

The file names its snapshot. A reader uses it only if that is the snapshot that it sees, so that the
result is always the same as that of a query.
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
    """One row for each server that has a sample after `since`, as of `snapshot`."""

    rows: pa.Table
    snapshot: int
    since: datetime

    def between(self, start: datetime, stop: datetime) -> pa.Table | None:
        """The last sample of each server from `start` to `stop`; None if a query is needed."""
        newest = pc.max(self.rows["ts"]).as_py()
        if newest is None or newest > stop or start < self.since:
            return None
        return self.rows.filter(pc.greater_equal(self.rows["ts"], pa.scalar(start, TIMESTAMP)))


def read_last_values(folders: Folders) -> LastValues | None:
    """Read the cache file; None if it is missing or truncated."""
    try:
        with pa.OSFile(str(folders.last_values)) as file, pa.ipc.open_file(file) as parts:
            rows = parts.read_all()
        metadata = rows.schema.metadata
        since = datetime.fromisoformat(metadata[SINCE].decode())
        return LastValues(rows, int(metadata[SNAPSHOT]), since)
    except (OSError, pa.ArrowException):
        return None
