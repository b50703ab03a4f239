"""Reading the last-value cache: the newest sample of each server, replaced at each commit.

The file names its snapshot. A reader uses it only if that is the snapshot that it sees, so that the
result is always the same as that of a query.
"""

import zlib
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from storage.config.folders import Folders
from storage.model.schema import TIMESTAMP

__all__ = ["SINCE", "SNAPSHOT", "LastValues", "read_last_values", "with_checksum"]

CRC_BYTES = 4
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


def with_checksum(content: bytes | memoryview) -> bytes:
    """The cache file: an Arrow file and its CRC-32."""
    return bytes(content) + zlib.crc32(content).to_bytes(CRC_BYTES)


def read_last_values(folders: Folders) -> LastValues | None:
    """Read the cache file; None if it is missing, truncated or damaged."""
    try:
        content = folders.last_values.read_bytes()
        if with_checksum(content[:-CRC_BYTES]) != content:
            return None
        with pa.ipc.open_file(pa.BufferReader(content[:-CRC_BYTES])) as parts:
            rows = parts.read_all()
        metadata = rows.schema.metadata
        since = datetime.fromisoformat(metadata[SINCE].decode())
        return LastValues(rows, int(metadata[SNAPSHOT]), since)
    except (OSError, pa.ArrowException):
        return None
