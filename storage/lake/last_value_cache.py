"""Last-value cache: the newest sample of each server, which the writer replaces at each commit."""

from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from storage.inbox.commit_batch import steps
from storage.lake.dedup import LOOKBACK, NewestTimes
from storage.lake.last_values import SINCE, SNAPSHOT
from storage.lake.transaction import WriteConnection
from storage.model.schema import TIMESTAMP

__all__ = ["LastValueCache"]

RECENT = timedelta(hours=1)
# Samples may be stamped a little ahead of the clock by which old ones go.
MARGIN = timedelta(minutes=10)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class LastValueCache:
    """The writer's side: follows the commits."""

    def __init__(self, connection: WriteConnection, newest: NewestTimes) -> None:
        metrics = connection.schema.table("metrics")
        self._connection = connection
        self._arrow = pa.schema([field.with_nullable(True) for field in metrics.arrow])
        self._reach = min(LOOKBACK, (metrics.retention or 2 * LOOKBACK) - MARGIN)
        last = EPOCH + timedelta(microseconds=max(newest.at.values()))
        self._rows = self._asked("ts >= $since", since=last - RECENT)
        # To look at a day of everybody takes seconds; few are silent for an hour.
        silent = newest.at.keys() - set(self._rows["server"].to_pylist())
        if silent:
            older = self._asked(
                "ts >= $since AND server IN $silent",
                since=last - LOOKBACK, silent=sorted(silent),
            )  # fmt: skip
            self._rows = pa.concat_tables([self._rows, older]).sort_by("server")

    def _asked(self, condition: str, **parameters: object) -> pa.Table:
        names = ", ".join(f'"{name}"' for name in self._arrow.names)
        rows = self._connection.run(
            f"SELECT {names} FROM metrics WHERE {condition} "
            "QUALIFY row_number() OVER (PARTITION BY server ORDER BY ts DESC) = 1 ORDER BY server",
            **parameters,
        )
        return rows.to_arrow_table().cast(self._arrow)

    def add(self, samples: pa.Table) -> None:
        """These are in the lake now, but for those whose key it had before."""
        if not samples.num_rows:
            return
        together = pa.concat_tables([self._rows, samples.select(self._arrow.names)])
        # The sort is stable: of two with one key the first stays, as in the lake.
        order = pc.sort_indices(together, [("server", "ascending"), ("ts", "descending")])
        begins = np.append(True, steps(together.select(["server"]).take(order), ["server"]))
        last = together.take(order.filter(pa.array(begins)))
        self._rows = last.filter(
            pc.greater_equal(last["ts"], pa.scalar(_newest(last) - LOOKBACK, TIMESTAMP))
        )

    def forget(self, servers: Iterable[str]) -> None:
        """These servers were deleted."""
        gone = pc.is_in(self._rows["server"], pa.array(list(servers), pa.string()))
        self._rows = self._rows.filter(pc.invert(gone))

    def write(self) -> None:
        """Replace the file; readers do without it when the disk does not take it."""
        snapshot = self._connection.value("FROM ducklake_current_snapshot('lake')")
        if not self._rows.num_rows:
            self._connection.folders.last_values.unlink(missing_ok=True)
            return
        since = (_newest(self._rows) - self._reach).isoformat()
        told = {SNAPSHOT: str(snapshot), SINCE: since}
        rows = self._rows.combine_chunks().replace_schema_metadata(told)
        path = self._connection.folders.last_values
        partial = path.with_suffix(".partial")
        with suppress(OSError):
            with pa.OSFile(str(partial), "wb") as file, pa.ipc.new_file(file, rows.schema) as out:
                out.write_table(rows)
            partial.replace(path)


def _newest(rows: pa.Table) -> datetime:
    newest: datetime = pc.max(rows["ts"]).as_py()
    return newest
