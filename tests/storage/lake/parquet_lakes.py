"""Parquet files as DuckLake writes them, without a catalog."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from storage.model.schema import table

INTERNAL = "_ducklake_internal_snapshot_id"


def file_name(ts: datetime, suffix: str = "") -> str:
    """A name with the time in its UUID, as DuckLake's are."""
    stamp = f"{round(1000 * ts.timestamp()):012x}"
    return f"ducklake-{stamp[:8]}-{stamp[8:]}-7{uuid.uuid4().hex[:3]}-8000-000000000000{suffix}"


def write_rows(
    files: Path,
    table_name: str,
    ts: datetime,
    rows: Sequence[Mapping[str, Any]],
    *,
    merged: bool = False,
) -> str:
    """Write a file of a table that was begun at `ts`; returns its name."""
    folder = files / "main" / table_name
    folder.mkdir(parents=True, exist_ok=True)
    content = pa.Table.from_pylist([dict(row) for row in rows], table(table_name).arrow)
    if merged:
        content = content.append_column(INTERNAL, pa.array([1] * len(rows), pa.int64()))
    name = file_name(ts, ".parquet")
    pq.write_table(content, folder / name)
    return name


def write_mask(files: Path, table_name: str, ts: datetime, name: str, places: list[int]) -> None:
    """Write a mask of rows of the file `name`, which may have been elsewhere."""
    mask = pa.table({"file_path": [f"/former/place/{name}"] * len(places), "pos": places})
    pq.write_table(mask, files / "main" / table_name / file_name(ts, "-delete.parquet"))
