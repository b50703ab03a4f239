"""Which rows of Parquet files are those of the lake, decided without a catalog.

A row is in several files when a merge or a completed row has replaced a file that is not removed
yet: the newest file counts. Rows of an erased server are in files older than its erasure. Rows
that a catalog snapshot masks are left out.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from storage.lake.lake_files import DataFile
from storage.model.schema import Table, sql_type

__all__ = ["GroupOutcome", "RowSelection", "identity_columns"]

# Of each version of a row: its file, and the newest file that has the same row.
VERSIONS = """
CREATE OR REPLACE TEMP TABLE versions AS
SELECT {key}, file_no, max(file_no) OVER (PARTITION BY {key}, content) AS newest
FROM (SELECT {key}, file_no, hash({columns}) AS content FROM ({rows}))
"""
COVERED = """
SELECT file_no FROM versions GROUP BY file_no HAVING bool_and(newest > file_no)
"""
SHARED = """
SELECT DISTINCT file_no FROM (
    SELECT
        file_no, min(file_no) OVER (PARTITION BY {key}) AS first,
        max(file_no) OVER (PARTITION BY {key}) AS last
    FROM versions WHERE file_no NOT IN (SELECT unnest($covered))
) WHERE first != last
"""


@dataclass(frozen=True, slots=True)
class GroupOutcome:
    """What is to be done with the files of one table and day, and the rows that are left out."""

    whole: list[DataFile]  # to be taken as they are
    rewritten: list[DataFile]  # whose rows are to be merged and written again
    replaced: list[DataFile]  # without a row of their own
    rows_erased: int


def identity_columns(target: Table) -> tuple[str, ...]:
    """The columns that identify a row; without a key, all that an erasure does not rewrite."""
    if target.key:
        return target.key
    return tuple(c.name for c in target.columns if not c.prose and not pa.types.is_nested(c.type))


class RowSelection:
    """Selects rows in a connection with the temporary tables of storage.lake.left_out_rows."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, files: Path) -> None:
        self._connection = connection
        self._files = files
        self._erasures = bool(self._column("SELECT 1 FROM erasures LIMIT 1"))

    def outcome(self, target: Table, group: Sequence[DataFile]) -> GroupOutcome:
        """Decide on the files of one table and day, oldest first."""
        key = _list(identity_columns(target))
        columns = _list(c.name for c in target.columns)
        rows = self.rows(target, group)
        self._connection.execute(VERSIONS.format(key=key, columns=columns, rows=rows))
        left = self._counts("SELECT file_no, count(*) FROM versions GROUP BY file_no")
        covered = set(self._column(COVERED)) | (set(range(len(group))) - left.keys())
        shared = set(self._column(SHARED.format(key=key), covered=sorted(covered)))
        self._connection.execute("DROP TABLE versions")
        partly = {i for i, f in enumerate(group) if left.get(i, 0) < f.rows}
        rewritten = (shared | partly) - covered
        return GroupOutcome(
            [f for i, f in enumerate(group) if i not in rewritten | covered],
            [f for i, f in enumerate(group) if i in rewritten],
            [f for i, f in enumerate(group) if i in covered],
            sum(f.rows for f in group) - sum(left.values()),
        )

    def rows(self, target: Table, group: Sequence[DataFile]) -> str:
        """SQL of the group's rows with `file_no`, those left out that are masked or erased."""
        present = {name for file in group for name in file.columns}
        columns = ", ".join(
            f'CAST("{c.name}" AS {sql_type(c.type)}) AS "{c.name}"'
            if c.name in present
            else f'CAST(NULL AS {sql_type(c.type)}) AS "{c.name}"'
            for c in target.columns
        )
        read = (
            f"SELECT {columns}, parse_filename(filename) AS file_name, file_row_number AS pos "
            f"FROM {self.source(group)}"
        )
        numbers = ", ".join(
            f"({_text(f.name)}, {i}, {_text(f.created.isoformat())}::TIMESTAMPTZ)"
            for i, f in enumerate(group)
        )
        text = (
            f"SELECT stored.*, file_no, created FROM ({read}) AS stored "
            f"JOIN (VALUES {numbers}) AS files (file_name, file_no, created) USING (file_name) "
            "ANTI JOIN masked USING (file_name, pos)"
        )
        if not self._erasures or "server" not in target.names or target.name == "deletions":
            return text
        return (
            f"SELECT kept.* FROM ({text}) AS kept LEFT JOIN (SELECT server, erased_at FROM "
            f"(SELECT DISTINCT server FROM ({read})) JOIN erasures ON erasures.name = "
            "'deleted-' || left(sha256(server), 16)) AS erased USING (server) LEFT JOIN "
            "masked_once USING (file_name, pos) WHERE erased_at IS NULL "
            "OR (created > erased_at AND masked_once.file_name IS NULL)"
        )

    def source(self, group: Sequence[DataFile]) -> str:
        """The SQL function that reads the files of a group."""
        paths = ", ".join(_text(str(self._files / file.path)) for file in group)
        return (
            f"read_parquet([{paths}], union_by_name = true, filename = true, "
            "file_row_number = true, hive_partitioning = false)"
        )

    def merged(self, target: Table, group: Sequence[DataFile]) -> str:
        """SQL of the group's rows, those of one key merged: newest file first, value by value."""
        rows = self.rows(target, group)
        key, names = _list(identity_columns(target)), _list(target.names)
        order = _list(target.key or (target.time,))
        if target.by_cell:
            cells = ", ".join(
                f'"{name}"' if name in target.key else f'arg_max("{name}", file_no) AS "{name}"'
                for name in target.names
            )
            return f"SELECT {cells} FROM ({rows}) GROUP BY {key} ORDER BY {order}"
        choice = (
            f"row_number() OVER (PARTITION BY {key} ORDER BY file_no DESC) = 1"
            if target.key
            else f"file_no = max(file_no) OVER (PARTITION BY {key})"
        )
        return f"SELECT {names} FROM ({rows}) QUALIFY {choice} ORDER BY {order}"

    def _column(self, sql: str, **parameters: object) -> list[int]:
        rows = self._connection.execute(sql, parameters or None).fetchall()
        return [row[0] for row in rows]

    def _counts(self, sql: str) -> dict[int, int]:
        return dict(self._connection.execute(sql).fetchall())


def _list(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
