"""What the lake knew at an earlier time: tables cut off where the commits of that time ended.

Each commit is a row of `segments` with its time and that of its latest row. Rows of a table are
written in the order of their times, so that what was known is what its last commit reached;
`metrics` has several sources, each with its own pace. Where commits are no longer kept, the rows up
to that time count. A row that was corrected later is there as it was corrected.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from storage.errors import QueryFailed
from storage.model.table_definition import Table

__all__ = ["NotRunningThen", "cut_off"]

_BEGAN = "SELECT min(ts) FROM lake.processes"
_REACHED = """
SELECT table_name, function, max(last_ts) FROM lake.segments
WHERE ts <= $at AND outcome = 'committed' AND last_ts IS NOT NULL
GROUP BY ALL
"""


# Tables whose queries order rows as they were written.
_ORDERED = frozenset({"processes", "sources"})


class NotRunningThen(QueryFailed):
    """Nothing was known at that time: Hoursight did not run yet."""

    def __init__(self, began: datetime) -> None:
        since = began.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
        super().__init__(
            f"nothing was known at that time: Hoursight runs since {since}", "choose a later time"
        )


def cut_off(cursor: Any, tables: Sequence[Table], at: datetime) -> None:
    """Let the names of the tables stand for the rows that were known at `at`, until a rollback.

    `cursor` is in a transaction. Raises NotRunningThen.
    """
    (began,) = cursor.execute(_BEGAN).fetchone()
    if began is not None and at < began:
        raise NotRunningThen(began)
    reached: dict[str, dict[str, datetime]] = {}
    for table, function, last in cursor.execute(_REACHED, {"at": at}).fetchall():
        reached.setdefault(table, {})[function] = last
    for table in tables:
        if table.time is not None:
            columns = "*, rowid" if table.name in _ORDERED else "*"
            cursor.execute(
                f'CREATE TEMP VIEW "{table.name}" AS SELECT {columns} FROM lake."{table.name}" '
                f"WHERE {_condition(table, reached, at)}"
            )


def _condition(table: Table, reached: Mapping[str, Mapping[str, datetime]], at: datetime) -> str:
    if not reached or table.name == "segments":
        return f'"{table.time}" <= {_literal(at)}'
    pace = reached.get(table.name)
    if pace is None:
        return "false"
    if table.name == "metrics":
        return " OR ".join(_by_source(pace, at)) or "false"
    return f'"{table.time}" <= {_literal(min(at, max(pace.values())))}'


def _by_source(pace: Mapping[str, datetime], at: datetime) -> Iterator[str]:
    """A condition for each source; rows without one, of an earlier version, by the time alone."""
    for source, last in pace.items():
        name = source.replace("'", "''")
        yield f"(source = '{name}' AND ts <= {_literal(min(at, last))})"
    yield f"(source IS NULL AND ts <= {_literal(at)})"


def _literal(at: datetime) -> str:
    return f"TIMESTAMPTZ '{at.astimezone(UTC).isoformat(sep=' ')}'"
