"""Builds a new catalog from a lake's Parquet files, table by table and day by day."""

import itertools
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from storage.lake.attach import evolve
from storage.lake.lake_files import CatalogEvidence, DataFile, LakeFiles
from storage.lake.left_out_rows import load_left_out_rows
from storage.lake.surviving_rows import GroupOutcome, RowSelection
from storage.model.schema import Column, Schema, Table

__all__ = ["CatalogBuilder", "TableCount"]

log = logging.getLogger(__name__)

METADATA = "__ducklake_metadata_lake"
ADD = """
CALL ducklake_add_data_files(
    'lake', $name, $path, ignore_extra_columns => true, allow_missing => true
)
"""
# A mapping by name hides the internal columns of merged files from the next merge (1.5.5); the
# files' field ids are those of the new tables. Of a partition, all values are stored with index 2.
AFTER_ADDING = (
    f"UPDATE {METADATA}.ducklake_data_file SET mapping_id = NULL",
    f"DELETE FROM {METADATA}.ducklake_name_mapping",
    f"DELETE FROM {METADATA}.ducklake_column_mapping",
    f"DELETE FROM {METADATA}.ducklake_file_partition_value",
    *(
        f"INSERT INTO {METADATA}.ducklake_file_partition_value "
        "(data_file_id, table_id, partition_key_index, partition_value) "
        f"SELECT data_file_id, table_id, {index}, regexp_extract(path, '{part}=(\\d+)/', 1) "
        f"FROM {METADATA}.ducklake_data_file WHERE partition_id IS NOT NULL"
        for index, part in enumerate(("year", "month", "day"))
    ),
)
# The next rounds of maintenance remove them.
SCHEDULE = f"""
INSERT INTO {METADATA}.ducklake_files_scheduled_for_deletion
    (data_file_id, path, path_is_relative, schedule_start)
SELECT next_file_id + number, path, true, $now
FROM (SELECT unnest($paths) AS path, unnest(range(len($paths))) AS number)
CROSS JOIN (SELECT max(next_file_id) AS next_file_id FROM {METADATA}.ducklake_snapshot)
"""
NEXT_FILE = f"""
UPDATE {METADATA}.ducklake_snapshot SET next_file_id = next_file_id + $count
WHERE snapshot_id = (SELECT max(snapshot_id) FROM {METADATA}.ducklake_snapshot)
"""
SAME_ID = f"UPDATE {METADATA}.ducklake_schema SET schema_uuid = $catalog WHERE schema_name = 'main'"
COLUMN_IDS = f"""
SELECT column_name, column_id FROM {METADATA}.ducklake_column
JOIN {METADATA}.ducklake_table USING (table_id)
WHERE table_name = $name AND parent_column IS NULL
"""


@dataclass(frozen=True, slots=True)
class TableCount:
    """Rows of one table: in all readable files, left out, and in the new catalog."""

    table: str
    files: int
    rows_in_files: int
    rows_replaced: int  # a newer file has the same row
    rows_erased: int  # masked, or of a server that was erased
    rows: int
    rows_in_snapshot: int | None = None  # by the catalog snapshot, if one was used


class CatalogBuilder:
    """Registers files in a new catalog that `connection` has attached, in one transaction."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        files: Path,
        schema: Schema,
        lake: LakeFiles,
        evidence: CatalogEvidence | None,
    ) -> None:
        self._connection = connection
        self._files = files
        dead = evidence.dead if evidence else set()
        self._lake = replace(lake, data=[f for f in lake.data if f.path not in dead])
        self._evidence = evidence
        self._unused = [f.path for f in lake.data if f.path in dead] + lake.masks
        self._schema = replace(schema, tables=tuple(self._with_stored(t) for t in schema.tables))
        self.unknown = sorted(
            f.path for f in self._lake.data if f.table not in {t.name for t in schema.tables}
        )

    def build(self, on_progress: Callable[[int, int], None]) -> list[TableCount]:
        """Register all files; return the counts. `on_progress` gets bytes done and the total."""
        evolve(self._connection, self._schema)
        load_left_out_rows(self._connection, self._files, self._lake, self._evidence)
        selection = RowSelection(self._connection, self._files)
        done, total = 0, sum(f.size_bytes for f in self._lake.data)
        counts = []
        self._connection.execute("BEGIN")
        for table in self._schema.tables:
            parts = []
            for group in filter(None, self._groups(table)):
                parts.append(self._take(table, group, selection))
                done += sum(f.size_bytes for f in group)
                on_progress(done, total)
            counts.append(self._sum(table.name, parts))
        self._connection.execute("COMMIT")
        return counts

    def finish(self, catalog: str | None) -> None:
        """Give the catalog the id `catalog`, and schedule files without rows for removal."""
        for statement in AFTER_ADDING:
            self._connection.execute(statement)
        if self._unused:
            self._connection.execute(SCHEDULE, {"paths": self._unused, "now": datetime.now(UTC)})
            self._connection.execute(NEXT_FILE, {"count": len(self._unused)})
        if catalog is not None:
            self._connection.execute(SAME_ID, {"catalog": catalog})

    def _with_stored(self, target: Table) -> Table:
        """The table with the columns that its newest file has in that order, and its own after.

        So the numbers by which DuckLake finds a file's columns are the same again.
        """
        stored: dict[str, int] = {}
        for file in (f for f in self._lake.data if f.table == target.name):
            stored |= file.field_ids
        types = {
            name: column.type
            for f in self._lake.data
            if f.table == target.name
            for name, column in f.columns.items()
        }
        known = {c.name: c for c in target.columns}
        first = [
            known.get(name) or Column(name, types[name], "of an earlier setting")
            for name in sorted(stored, key=stored.__getitem__)
        ]
        return replace(
            target, columns=(*first, *(c for c in target.columns if c.name not in stored))
        )

    def _groups(self, target: Table) -> Iterator[list[DataFile]]:
        """The table's files by day, oldest first in each; all together where one has no day."""
        own = [f for f in self._lake.data if f.table == target.name]
        if not all(f.day for f in own):
            yield own
            return
        by_day = sorted(own, key=lambda f: f.day)  # stable
        for _, group in itertools.groupby(by_day, lambda f: f.day):
            yield list(group)

    def _take(
        self, target: Table, group: Sequence[DataFile], selection: RowSelection
    ) -> TableCount:
        outcome = self._outcome(target, group, selection)
        for file in outcome.whole:
            self._connection.execute(ADD, {
                "name": target.name, "path": str(self._files / file.path)
            })  # fmt: skip
        rewritten = 0
        if outcome.rewritten:
            rows = selection.merged(target, outcome.rewritten)
            inserted = self._connection.execute(
                f"INSERT INTO {target.name} BY NAME {rows}"
            ).fetchone()
            rewritten = int(inserted[0]) if inserted else 0
        self._unused += [f.path for f in (*outcome.rewritten, *outcome.replaced)]
        rows_in_files = sum(f.rows for f in group)
        taken = sum(f.rows for f in outcome.whole) + rewritten
        log.debug(
            "%s %s: %d files taken, %d rewritten, %d replaced", target.name, group[0].day,
            len(outcome.whole), len(outcome.rewritten), len(outcome.replaced),
        )  # fmt: skip
        return TableCount(
            target.name, len(group), rows_in_files, rows_in_files - outcome.rows_erased - taken,
            outcome.rows_erased, taken,
        )  # fmt: skip

    def _outcome(
        self, target: Table, group: Sequence[DataFile], selection: RowSelection
    ) -> GroupOutcome:
        ids = self._column_ids(target.name)
        other = [f for f in group if any(ids.get(name) != n for name, n in f.field_ids.items())]
        if not other and self._is_known(group):
            return GroupOutcome(list(group), [], [], 0)
        outcome = selection.outcome(target, group)
        moved = [f for f in outcome.whole if f in other]
        return replace(
            outcome, whole=[f for f in outcome.whole if f not in other],
            rewritten=sorted([*outcome.rewritten, *moved], key=group.index),
        )  # fmt: skip

    def _is_known(self, group: Sequence[DataFile]) -> bool:
        """Return True if the snapshot knows all these files, and no row was deleted since."""
        evidence = self._evidence
        if evidence is None or self._erased_since(evidence.taken_at):
            return False
        return all(f.path in evidence.live and f.path not in evidence.masks for f in group)

    def _erased_since(self, since: datetime) -> bool:
        query = "SELECT 1 FROM erasures WHERE erased_at >= $since LIMIT 1"
        return bool(self._connection.execute(query, {"since": since}).fetchall())

    def _column_ids(self, name: str) -> dict[str, int]:
        return dict(self._connection.execute(COLUMN_IDS, {"name": name}).fetchall())

    def _sum(self, name: str, parts: Sequence[TableCount]) -> TableCount:
        in_snapshot = None if self._evidence is None else self._evidence.rows.get(name, 0)
        return TableCount(
            name, sum(p.files for p in parts), sum(p.rows_in_files for p in parts),
            sum(p.rows_replaced for p in parts), sum(p.rows_erased for p in parts),
            sum(p.rows for p in parts), in_snapshot,
        )  # fmt: skip
