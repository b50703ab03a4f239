"""Insertion of a commit batch's rows: a row whose key the lake has is dropped, or replaces it."""

import logging
from collections.abc import Iterable
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from storage.inbox.commit_batch import CommitBatch, distinct
from storage.lake.dedup import NewestTimes
from storage.lake.transaction import WriteConnection
from storage.model.schema import Table

__all__ = ["RowInserter"]

log = logging.getLogger(__name__)


class RowInserter:
    """Inserts rows and knows the newest row of each server, so that most keys need no query."""

    def __init__(self, connection: WriteConnection) -> None:
        self._connection = connection
        self._newest: dict[str, NewestTimes] = {}  # by table, read on first use

    def insert(self, target: Table, batch: CommitBatch, began: datetime) -> list[int]:
        """Insert the batch's rows for `target` in a transaction that began at `began`.

        Returns how many rows of each of the batch's segments for that table were new.
        """
        segments = batch.for_table(target.name)
        incoming = batch.rows(target)
        if target.key and not self._all_later(target, batch):
            incoming = self._without_known_keys(target, incoming)
        rows = incoming.drop_columns("_batch")
        if rows.num_rows:
            self._connection.append(target, rows, began)
        tally = pc.value_counts(incoming["_batch"]).to_pylist()
        counts = {each["values"]: each["counts"] for each in tally}
        repeated = sum(segment.rows.num_rows for segment in segments) - rows.num_rows
        if repeated:
            log.debug("%s: %d rows dropped, their keys are in the lake", target.name, repeated)
        return [counts.get(i, 0) for i in range(len(segments))]

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

    def _without_known_keys(self, target: Table, incoming: pa.Table) -> pa.Table:
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
            self._connection.run(f"DELETE FROM {target.name} USING new_keys WHERE {replaced}")
