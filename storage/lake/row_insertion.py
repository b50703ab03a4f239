"""Insertion of a commit batch's rows: what the lake has of a key is kept, completed or replaced."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from storage.inbox.commit_batch import CommitBatch, distinct
from storage.inbox.validation import with_derived_idle
from storage.lake.cell_merge import SegmentOutcome, merge_cells
from storage.lake.dedup import NewestTimes
from storage.lake.transaction import WriteConnection
from storage.model.schema import Table

__all__ = ["Inserted", "RowInserter"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Inserted:
    """The rows that a commit wrote to a table, whole, and what came of each of its segments."""

    rows: pa.Table
    outcomes: Sequence[SegmentOutcome]

    @property
    def new(self) -> int:
        """Rows that are new or brought a value."""
        return sum(each.new for each in self.outcomes)


class RowInserter:
    """Inserts rows and knows the newest row of each server, so that most keys need no query."""

    def __init__(self, connection: WriteConnection) -> None:
        self._connection = connection
        self._newest: dict[str, NewestTimes] = {}  # by table, read on first use
        self.replaces = False  # set once rows were deleted to be replaced

    def insert(self, target: Table, batch: CommitBatch, began: datetime) -> Inserted:
        """Insert the batch's rows for `target` in a transaction that began at `began`."""
        incoming = batch.rows(target)
        sizes = [segment.rows.num_rows for segment in batch.for_table(target.name)]
        if not target.key or self._all_later(target, batch):
            result = _all_new(incoming, sizes)
        elif target.by_cell:
            result = self._merged(target, incoming, len(sizes))
        else:
            result = _without_repeats(self._new_keys(target, incoming), sizes)
        if result.rows.num_rows:
            self._connection.append(target, result.rows, began)
        if repeated := sum(each.repeated for each in result.outcomes):
            log.debug("%s: %d values or rows repeated", target.name, repeated)
        return result

    def newest(self, target: Table) -> NewestTimes:
        """The time of each server's newest row in `target`, whose key begins with the server."""
        if target.name not in self._newest:
            self._newest[target.name] = NewestTimes(self._connection, target)
        return self._newest[target.name]

    def add_committed(self, batch: CommitBatch) -> None:
        """Take note that the rows of `batch` are in the lake."""
        for name, newest in self._newest.items():
            newest.add(batch.spans(self._connection.schema.table(name)))

    def forget_table(self, table_name: str) -> None:
        """Read a table's newest rows again on the next use: it was written by other means."""
        self._newest.pop(table_name, None)

    def forget_servers(self, servers: Iterable[str]) -> None:
        """Take note that the rows of `servers` were deleted."""
        servers = list(servers)
        for newest in self._newest.values():
            newest.forget(servers)

    def _all_later(self, target: Table, batch: CommitBatch) -> bool:
        """Return True if no key can be in the lake: the usual case, decided without a query."""
        if target.key[0] != "server" or target.time not in target.key:
            return False
        later = self.newest(target).all_later(batch.spans(target))
        return later and distinct(batch.rows(target), target.key)

    def _merged(self, target: Table, incoming: pa.Table, segments: int) -> Inserted:
        """The rows that gained a value, merged with those of the lake, which are deleted there."""
        merged = merge_cells(target, self._stored(target, incoming), incoming, segments)
        if merged.replaced.num_rows:
            self.replaces = True
            self._connection.stage("replaced", merged.replaced, "FROM incoming")
            same = " AND ".join(f"{target.name}.{c} = replaced.{c}" for c in target.key)
            where, limits = _time_limits(target, merged.replaced)
            self._connection.run(
                f"DELETE FROM {target.name} USING replaced WHERE {same} AND {where}", **limits
            )
        rows = with_derived_idle(merged.rows) if target.name == "metrics" else merged.rows
        return Inserted(rows, merged.outcomes)

    def _stored(self, target: Table, incoming: pa.Table) -> pa.Table:
        """The rows of the lake that have the key of an incoming one."""
        key = ", ".join(target.key)
        self._connection.stage(
            "incoming_keys", incoming.select(list(target.key)), "SELECT DISTINCT * FROM incoming"
        )
        where, limits = _time_limits(target, incoming)
        names = ", ".join(f'"{name}"' for name in target.names)
        known = f"FROM {target.name} SEMI JOIN incoming_keys USING ({key}) WHERE {where}"
        rows = self._connection.run(f"SELECT {names} {known}", **limits)
        return rows.to_arrow_table().cast(incoming.select(list(target.names)).schema)

    def _new_keys(self, target: Table, incoming: pa.Table) -> pa.Table:
        """One row for each key, after the table's rule for keys that the lake has already."""
        key = ", ".join(target.key)
        self._stage_new_keys(target, incoming, key)
        known = f"FROM {target.name}"
        if target.time in target.key:
            known += (
                f" WHERE {target.time} >= (SELECT min({target.time}) FROM new_keys)"
                f" AND {target.time} <= (SELECT max({target.time}) FROM new_keys)"
            )
        places = "SELECT _place FROM new_keys"
        if target.on_conflict == "last" or target.provisional:
            self._delete_replaced(target, known)
        if target.on_conflict != "last":
            places += f" ANTI JOIN (SELECT {key} {known}) USING ({key})"
        return incoming.take(
            self._connection.run(f"{places} ORDER BY {key}").to_arrow_table()["_place"]
        )

    def _stage_new_keys(self, target: Table, incoming: pa.Table, key: str) -> None:
        """Make the temporary table `new_keys`: each key once, with the place of its row."""
        order = "_batch" if target.on_conflict == "first" else "_batch DESC"
        columns = [*target.key, "_batch"]
        if target.provisional:
            name, value = target.provisional
            order, columns = f"{name} = '{value}', {order}", [*columns, name]
        # Only keys are staged: a forecast's lists are a hundred times as long.
        places = pa.array(np.arange(incoming.num_rows, dtype=np.int64))
        self._connection.stage(
            "new_keys",
            incoming.select(columns).append_column("_place", places),
            f"FROM incoming QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY {order}) = 1",
        )

    def _delete_replaced(self, target: Table, known: str) -> None:
        """Delete the rows that those in `new_keys` replace."""
        conditions = [f"{target.name}.{c} = new_keys.{c}" for c in target.key]
        if target.provisional:
            name, value = target.provisional
            conditions += [f"{target.name}.{name} = '{value}'", f"new_keys.{name} != '{value}'"]
        replaced = " AND ".join(conditions)
        # A DELETE writes a file even when it deletes nothing.
        if self._connection.value(
            f"SELECT 1 FROM (SELECT * {known}) AS {target.name}, new_keys WHERE {replaced} LIMIT 1"
        ):
            self.replaces = True
            self._connection.run(f"DELETE FROM {target.name} USING new_keys WHERE {replaced}")


def _all_new(incoming: pa.Table, sizes: Sequence[int]) -> Inserted:
    return Inserted(incoming.drop_columns("_batch"), [SegmentOutcome(size) for size in sizes])


def _without_repeats(left: pa.Table, sizes: Sequence[int]) -> Inserted:
    """The rows that are left of segments of `sizes` rows, which are kept whole."""
    new = np.bincount(np.asarray(left["_batch"]), minlength=len(sizes)).tolist()
    outcomes = [SegmentOutcome(n, size - n) for n, size in zip(new, sizes, strict=True)]
    return Inserted(left.drop_columns("_batch"), outcomes)


def _time_limits(target: Table, rows: pa.Table) -> tuple[str, dict[str, datetime]]:
    """A condition with parameters for the span of `rows`, which names the files to be read."""
    span = pc.min_max(rows[target.time]).as_py()
    where = f"{target.name}.{target.time} >= $first AND {target.name}.{target.time} <= $last"
    return where, {"first": span["min"], "last": span["max"]}
