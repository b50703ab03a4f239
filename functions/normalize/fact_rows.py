"""Fact rows: what mappers learned of servers, as a table of `server_facts`."""

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa

from storage.model.schema import TIMESTAMP, table

__all__ = ["FactRow", "fact_rows"]


class FactRow(NamedTuple):
    """The facts of a server; `ts_us` is in microseconds since 1970."""

    server: str
    ts_us: int
    profile: str | None
    site: str | None
    cores: int | None
    disk_volume: str | None
    net_links: str | None


def fact_rows(rows: Sequence[FactRow]) -> pa.Table:
    """The rows as a table with the columns of `server_facts`."""
    columns = list(zip(*rows, strict=True)) or [()] * len(FactRow._fields)
    columns[1] = pa.array(columns[1], pa.int64()).cast(TIMESTAMP)
    schema = table("server_facts").arrow
    arrays = [
        column if isinstance(column, pa.Array) else pa.array(column, field.type)
        for column, field in zip(columns, schema, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)
