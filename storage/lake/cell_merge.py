"""Cell merge: rows of one key become one row; a cell that has a value keeps it.

Metrics of one server and time come in several rows: a record, file or collection for each metric,
two agents, a sender that tries again.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from storage.inbox.commit_batch import steps
from storage.model.table_definition import Table

__all__ = ["Conflict", "MergedRows", "SegmentOutcome", "merge_cells"]

STORED = -1  # the `_batch` of a row that is in the lake

Bools = npt.NDArray[np.bool_]
Places = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Conflict:
    """The first value of a segment that differs from the one that is kept, and how many do."""

    key: dict[str, object]
    column: str
    kept: object
    dropped: object
    count: int

    def sentence(self) -> str:
        """It in words."""
        values = f"{self.count} values differ" if self.count > 1 else "1 value differs"
        return (
            f"{self.key['server']}: {values} from the one that came first and is kept, for example "
            f"{self.column} at {self.key['ts']}: {self.dropped:g} after {self.kept:g}; if two "
            "senders use one name for different servers, give each a name of its own"
        )


@dataclass(frozen=True, slots=True)
class SegmentOutcome:
    """What came of the rows of one segment."""

    new: int  # rows that are new or brought a value
    repeated: int = 0  # values, or rows that are kept whole, that the lake had already
    conflict: Conflict | None = None


@dataclass(frozen=True, slots=True)
class MergedRows:
    """The rows to write, and what came of each segment."""

    rows: pa.Table  # one for each key that is new or gained a value, in the order of the keys
    replaced: pa.Table  # the keys among them that the lake has already
    outcomes: list[SegmentOutcome]


def merge_cells(target: Table, stored: pa.Table, incoming: pa.Table, segments: int) -> MergedRows:
    """Merge `incoming` rows, whose `_batch` is the number of their segment, with `stored` ones.

    Both have the columns of `target` in its order. For a table that keeps the last row of a key,
    a later segment's value replaces the one before; NULL never does.
    """
    rows = _in_order(target, stored, incoming)
    batch = np.asarray(rows["_batch"])
    starts = np.flatnonzero(np.append(True, steps(rows, target.key)))
    group = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(batch))))
    known = np.maximum.reduceat(batch == STORED, starts)
    cells = _Cells(rows, batch, starts, group, segments)
    merged = {}
    for column in target.columns:
        if column.name in target.key:
            merged[column.name] = rows[column.name].take(pa.array(starts))
        else:
            merged[column.name] = cells.merged(column.name, counted=not column.origin)
    brought = cells.brought & (batch != STORED)
    brought[starts[~known]] = True  # a row without a value is new too
    grown = np.logical_or.reduceat(brought, starts)
    result = pa.table(merged).filter(pa.array(grown))
    keys = pa.table({name: merged[name] for name in target.key})
    new = np.bincount(batch[brought], minlength=segments).tolist()
    outcomes = [cells.outcome(target, i, count) for i, count in enumerate(new)]
    return MergedRows(result, keys.filter(pa.array(grown & known)), outcomes)


def _in_order(target: Table, stored: pa.Table, incoming: pa.Table) -> pa.Table:
    """All rows by key; of one key those whose values are to be kept come first."""
    marked = stored.append_column("_batch", pa.array(np.full(stored.num_rows, STORED, np.int32)))
    rows = pa.concat_tables([marked.select(incoming.column_names), incoming])
    keys = [(name, "ascending") for name in target.key]
    last = [("_batch", "descending")] if target.on_conflict == "last" else []
    return rows.take(pc.sort_indices(rows, [*keys, *last]))  # a stable sort


class _Cells:
    """The cells of rows in the order in which they are to be kept, and what came of each."""

    def __init__(
        self,
        rows: pa.Table,
        batch: npt.NDArray[np.int32],
        starts: Places,
        group: Places,
        segments: int,
    ) -> None:
        self._rows, self._batch = rows, batch
        self._starts, self._group = starts, group
        self.brought = np.zeros(rows.num_rows, np.bool_)
        self._repeated = np.zeros(segments, np.int64)
        self._differing = np.zeros(segments, np.int64)
        self._examples: dict[int, tuple[str, int, int]] = {}

    def merged(self, name: str, counted: bool) -> pa.ChunkedArray:
        """The first value of each group; NULL where it has none."""
        values, count = self._rows[name], self._rows.num_rows
        valid = np.asarray(pc.is_valid(values))
        first = np.minimum.reduceat(np.where(valid, np.arange(count), count), self._starts)
        absent = first == count
        places = np.where(absent, 0, first)
        if counted:
            self.brought[places[~absent]] = True
            self._note_repeats(name, valid, places)
        return values.take(pa.array(places, mask=absent))

    def _note_repeats(self, name: str, valid: Bools, places: Places) -> None:
        kept = places[self._group]
        again = np.flatnonzero(valid & (kept != np.arange(len(valid))) & (self._batch != STORED))
        if not again.size:
            return
        segment = self._batch[again]
        self._repeated += np.bincount(segment, minlength=len(self._repeated))
        values = self._rows[name]
        kept_values, dropped = (values.take(pa.array(p)) for p in (kept[again], again))
        differs = np.asarray(pc.fill_null(pc.not_equal(dropped, kept_values), False))
        self._differing += np.bincount(segment[differs], minlength=len(self._differing))
        for number, first in zip(*np.unique(segment[differs], return_index=True), strict=True):
            place = again[differs][first]
            self._examples.setdefault(int(number), (name, int(place), int(kept[place])))

    def outcome(self, target: Table, segment: int, new: int) -> SegmentOutcome:
        """What came of a segment of which `new` rows were new or brought a value."""
        return SegmentOutcome(new, int(self._repeated[segment]), self._conflict(target, segment))

    def _conflict(self, target: Table, segment: int) -> Conflict | None:
        if segment not in self._examples:
            return None
        column, dropped, kept = self._examples[segment]
        values = self._rows[column]
        key = {name: self._rows[name][dropped].as_py() for name in target.key}
        return Conflict(
            key, column, values[kept].as_py(), values[dropped].as_py(),
            int(self._differing[segment]),
        )  # fmt: skip
