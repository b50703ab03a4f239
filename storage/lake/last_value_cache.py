"""Last-value cache: the newest sample of each server, which the writer replaces at each commit."""

from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from storage.inbox.commit_batch import steps
from storage.lake.dedup import LOOKBACK, NewestTimes
from storage.lake.last_values import SINCE, SNAPSHOT, with_checksum
from storage.lake.transaction import WriteConnection
from storage.model.schema import TIMESTAMP

__all__ = ["LastValueCache"]

RECENT = timedelta(hours=1)
# Clocks of samples may be a little ahead of the clock by which retention deletes.
MARGIN = timedelta(minutes=10)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class LastValueCache:
    """The last-value cache of the writer, updated with each commit."""

    def __init__(self, connection: WriteConnection, newest: NewestTimes) -> None:
        metrics = connection.schema.table("metrics")
        self._connection = connection
        self._arrow = pa.schema([field.with_nullable(True) for field in metrics.arrow])
        self._reach = min(LOOKBACK, (metrics.retention or 2 * LOOKBACK) - MARGIN)
        last = EPOCH + timedelta(microseconds=max(newest.at.values()))
        self._rows = self._query("ts >= $since", since=last - RECENT)
        # Reading a day of every server takes seconds; few have been stale for an hour.
        stale = newest.at.keys() - set(self._rows["server"].to_pylist())
        if stale:
            older = self._query(
                "ts >= $since AND server IN $stale",
                since=last - LOOKBACK, stale=sorted(stale),
            )  # fmt: skip
            self._rows = pa.concat_tables([self._rows, older]).sort_by("server")

    def _query(self, condition: str, **parameters: object) -> pa.Table:
        names = ", ".join(f'"{name}"' for name in self._arrow.names)
        rows = self._connection.run(
            f"SELECT {names} FROM metrics WHERE {condition} "
            "QUALIFY row_number() OVER (PARTITION BY server ORDER BY ts DESC) = 1 ORDER BY server",
            **parameters,
        )
        return rows.to_arrow_table().cast(self._arrow)

    def add(self, samples: pa.Table) -> None:
        """Add rows as they were just written to the lake: they replace those of the same key."""
        if not samples.num_rows:
            return
        rows = pa.concat_tables([samples.select(self._arrow.names).cast(self._arrow), self._rows])
        # The sort is stable: of two rows with the same key the one just written is kept.
        order = pc.sort_indices(rows, [("server", "ascending"), ("ts", "descending")])
        begins = np.append(True, steps(rows.select(["server"]).take(order), ["server"]))
        last = rows.take(order.filter(pa.array(begins)))
        self._rows = last.filter(
            pc.greater_equal(last["ts"], pa.scalar(_newest(last) - LOOKBACK, TIMESTAMP))
        )

    def forget(self, servers: Iterable[str]) -> None:
        """Remove servers that were erased."""
        gone = pc.is_in(self._rows["server"], pa.array(list(servers), pa.string()))
        self._rows = self._rows.filter(pc.invert(gone))

    def write(self) -> None:
        """Replace the cache file; readers query the lake if that fails."""
        snapshot = self._connection.value("FROM ducklake_current_snapshot('lake')")
        if not self._rows.num_rows:
            self._connection.folders.last_values.unlink(missing_ok=True)
            return
        since = (_newest(self._rows) - self._reach).isoformat()
        metadata = {SNAPSHOT: str(snapshot), SINCE: since}
        rows = self._rows.combine_chunks().replace_schema_metadata(metadata)
        path = self._connection.folders.last_values
        partial = path.with_suffix(".partial")
        with suppress(OSError):
            partial.write_bytes(with_checksum(_encoded(rows)))
            partial.replace(path)


def _encoded(rows: pa.Table) -> memoryview:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, rows.schema) as out:
        out.write_table(rows)
    return memoryview(sink.getvalue())


def _newest(rows: pa.Table) -> datetime:
    newest: datetime = pc.max(rows["ts"]).as_py()
    return newest
