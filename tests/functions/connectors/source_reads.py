"""Rows of incremental reads in tests: of one run, or of all runs until there is no more."""

from datetime import datetime
from typing import Any

from functions.connectors.incremental_read import IncrementalRead
from functions.engine.function import Batch
from tests.conftest import NOW


def rows_of(batch: Batch) -> list[dict[str, Any]]:
    """The rows of `metrics` in a batch."""
    rows = batch.rows.get("metrics") if batch.rows else None
    return rows.to_pylist() if rows is not None else []


def servers_of(batch: Batch) -> list[str]:
    """The servers of the rows in a batch, sorted."""
    return sorted(row["server"] for row in rows_of(batch))


def read_all(
    read: IncrementalRead, cursor: str | None = None, now: datetime = NOW
) -> tuple[list[dict[str, Any]], str | None]:
    """The rows of all runs until there is no more, and the cursor after them."""
    rows: list[dict[str, Any]] = []
    while True:
        batch = read.run(now, cursor)
        cursor = batch.cursor or cursor
        rows += rows_of(batch)
        if not batch.more:
            return rows, cursor
