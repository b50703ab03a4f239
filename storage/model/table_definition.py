"""Definition of a table: its columns, Arrow schema, DDL, key and retention."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any

import pyarrow as pa

from storage.model.table_rows import rows_to_arrow

__all__ = [
    "ROWS_PER_GROUP", "TIMESTAMP", "WITH_OWN_METRICS", "Column", "Table", "retention_text",
    "sql_type",
]  # fmt: skip

ROWS_PER_GROUP = 122_880  # DuckDB's own choice
TIMESTAMP = pa.timestamp("us", tz="UTC")
# The tables to which metrics from the settings add columns.
WITH_OWN_METRICS = ("metrics", "metrics_5m")


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its Arrow type and what it means.

    A row without a `required` column is rejected. `prose` columns hold sentences, which may name
    servers: an erasure rewrites them. Values of `is_name` columns follow storage.model.names; those
    of `is_server` columns name servers (in a table with a `scope`: in rows of scope 'server'). An
    `origin` column says where the row comes from: of rows that are merged, the first one's.
    """

    name: str
    type: pa.DataType
    meaning: str
    required: bool = False
    prose: bool = False
    is_name: bool = False
    is_server: bool = False
    origin: bool = False

    @property
    def ddl(self) -> str:
        """Its name and type in SQL."""
        return f'"{self.name}" {sql_type(self.type)}'


@dataclass(frozen=True)
class Table:
    """A table of the lake.

    `key` names the columns that identify a row (empty: each row is unique); `on_conflict` says
    whether the first or the last row with the same key is kept. With `by_cell` it says so of each
    value: rows of one key are merged, and NULL replaces nothing. `provisional` is a column and the
    value that marks a row as provisional: the first row of the same key with another value replaces
    it. `time` is the column that dates a row. Rows older than `retention` are deleted, a whole day
    at a time (None: never); `by_day` partitions the table's files by day for that. Merged files are
    sorted by `sorted_by` (empty: by the key, or else by time), with a row group for each
    `rows_per_group` rows: a reader leaves out the groups in which nothing can match.
    """

    name: str
    purpose: str
    retention: timedelta | None
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    on_conflict: str = "first"
    time: str = "ts"
    by_day: bool = True
    by_cell: bool = False
    provisional: tuple[str, str] | None = None
    sorted_by: tuple[str, ...] = ()
    rows_per_group: int = ROWS_PER_GROUP

    @cached_property
    def arrow(self) -> pa.Schema:
        """The Arrow schema of a segment of this table."""
        return pa.schema([pa.field(c.name, c.type, not c.required) for c in self.columns])

    def rows(self, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
        """Return `rows`, one dict of column names and values each, as Arrow in the table's types.

        Only columns that occur in a row are returned; the writer fills the others with NULL. Times
        need a time zone. In `metrics` and `metrics_5m` an unknown column is a metric of your own
        (float32). Raises ValueError or TypeError that names table, row, column, value and what is
        expected.
        """
        return rows_to_arrow(self.name, self.arrow, rows, own_metrics=self.name in WITH_OWN_METRICS)

    @cached_property
    def of_server(self) -> str | None:
        """SQL condition: the row is about the server `$server`; None without servers."""
        named = " OR ".join(f"{c.name} = $server" for c in self.columns if c.is_server)
        if not named:
            return None
        return f"scope = 'server' AND ({named})" if "scope" in self.names else f"({named})"

    @property
    def retention_text(self) -> str:
        """Its retention as the settings write it: `7d`, `36h` or `always`."""
        return retention_text(self.retention)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The columns' names in order."""
        return tuple(c.name for c in self.columns)

    @property
    def order(self) -> tuple[str, ...]:
        """The columns by which its merged files are sorted."""
        return self.sorted_by or self.key or (self.time,)

    def ddl(self) -> Iterator[str]:
        """The statements that create the table, partitioned by day and sorted."""
        body = ", ".join(c.ddl for c in self.columns)
        yield f"CREATE TABLE {self.name} ({body})"
        if self.by_day:
            days = ", ".join(f"{part}({self.time})" for part in ("year", "month", "day"))
            yield f"ALTER TABLE {self.name} SET PARTITIONED BY ({days})"
        yield f"ALTER TABLE {self.name} SET SORTED BY ({', '.join(self.order)})"


_SQL_TYPES = {
    pa.string(): "VARCHAR",
    pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE",
    pa.int16(): "SMALLINT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.bool_(): "BOOLEAN",
    TIMESTAMP: "TIMESTAMPTZ",
}


def sql_type(arrow: pa.DataType) -> str:
    """DuckDB's name for an Arrow type that a table of the lake uses."""
    if pa.types.is_list(arrow):
        return f"{sql_type(arrow.value_type)}[]"
    if pa.types.is_struct(arrow):
        fields = ", ".join(f'"{f.name}" {sql_type(f.type)}' for f in arrow)
        return f"STRUCT({fields})"
    return _SQL_TYPES[arrow]


def retention_text(retention: timedelta | None) -> str:
    """A retention as the settings write it: `7d`, `36h` or `always`."""
    if retention is None:
        return "always"
    hours = round(retention.total_seconds() / 3600)
    return f"{hours}h" if hours % 24 else f"{hours // 24}d"
