"""The Parquet files of a lake by their footers: table, day, rows, age; and what a catalog says."""

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from storage.lake.lake_contents import DAY, MASK_SUFFIX

__all__ = ["CatalogEvidence", "DataFile", "LakeFiles", "evidence_of", "read_lake_files"]

UUID_TIME = re.compile(r"ducklake-([0-9a-f]{8})-([0-9a-f]{4})-7")
FIELD_ID = b"PARQUET:field_id"
INTERNAL = "_ducklake_internal_"  # columns that DuckLake adds to files that it merged
SNAPSHOT_COLUMN = INTERNAL + "snapshot_id"

LIVE = """
SELECT schemas.path || tables.path || files.path AS path, files.data_file_id, files.record_count
FROM ducklake_data_file AS files
JOIN ducklake_table AS tables USING (table_id) JOIN ducklake_schema AS schemas USING (schema_id)
WHERE files.end_snapshot IS NULL AND tables.end_snapshot IS NULL
"""
DEAD = """
SELECT schemas.path || tables.path || files.path AS path
FROM ducklake_data_file AS files
JOIN ducklake_table AS tables USING (table_id) JOIN ducklake_schema AS schemas USING (schema_id)
WHERE files.end_snapshot IS NOT NULL
UNION SELECT path FROM ducklake_files_scheduled_for_deletion
"""
MASKED = """
SELECT masks.data_file_id, schemas.path || tables.path || masks.path AS path, masks.delete_count
FROM ducklake_delete_file AS masks
JOIN ducklake_table AS tables USING (table_id) JOIN ducklake_schema AS schemas USING (schema_id)
WHERE masks.end_snapshot IS NULL
"""

CATALOG_ID = "SELECT schema_uuid FROM ducklake_schema WHERE schema_name = 'main'"


@dataclass(frozen=True)
class DataFile:
    """A Parquet file: its path relative to the lake's folder, and what its footer says."""

    path: str
    table: str
    rows: int
    size_bytes: int
    created: datetime
    columns: dict[str, pa.Field]
    field_ids: dict[str, int]
    merged: bool  # its rows are of several commits

    @property
    def name(self) -> str:
        """The file's name, which is unique."""
        return self.path.rpartition("/")[2]

    @cached_property
    def day(self) -> str:
        """The day of its rows by its folder; empty without one."""
        match = DAY.search(self.path)
        return match.group() if match else ""


@dataclass(frozen=True)
class LakeFiles:
    """All files below a lake's folder, oldest first; `unreadable` are paths and reasons."""

    data: list[DataFile] = field(default_factory=list)
    masks: list[str] = field(default_factory=list)
    unreadable: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class CatalogEvidence:
    """What a catalog snapshot says of files: in use, with which masks, or replaced."""

    catalog: str  # the id of the catalog
    taken_at: datetime
    live: dict[str, int]  # rows by path
    dead: set[str]
    masks: dict[str, str]  # the path of the mask by that of the masked file
    rows: dict[str, int]  # by table, masked ones left out


def read_lake_files(
    files: Path, on_progress: Callable[[int, int], None] = lambda _done, _total: None
) -> LakeFiles:
    """Read the footers of all Parquet files below `files`."""
    lake = LakeFiles()
    paths = sorted(files.rglob("*.parquet"), key=lambda path: (_created(path), path.name))
    for done, path in enumerate(paths, 1):
        relative = path.relative_to(files).as_posix()
        if path.name.endswith(MASK_SUFFIX):
            lake.masks.append(relative)
            continue
        try:
            lake.data.append(_data_file(path, relative))
        except (pa.ArrowException, OSError) as error:
            lake.unreadable.append((relative, str(error).partition("\n")[0]))
        on_progress(done, len(paths))
    return lake


def _data_file(path: Path, relative: str) -> DataFile:
    footer = pq.read_metadata(path)
    columns = {f.name: f for f in footer.schema.to_arrow_schema()}
    own = {name: f for name, f in columns.items() if not name.startswith(INTERNAL)}
    parts = relative.split("/")
    return DataFile(
        relative, parts[1] if len(parts) > 2 else "", footer.num_rows, path.stat().st_size,
        _created(path), own, {name: _field_id(f) for name, f in own.items()},
        SNAPSHOT_COLUMN in columns,
    )  # fmt: skip


def _field_id(column: pa.Field) -> int:
    return int((column.metadata or {}).get(FIELD_ID, -1))


def _created(path: Path) -> datetime:
    """When the file was begun, by the time in its name; else when it was written."""
    match = UUID_TIME.match(path.name)
    if match is None:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return datetime.fromtimestamp(int(match.group(1) + match.group(2), 16) / 1000, UTC)


def evidence_of(snapshot: Path, taken_at: datetime) -> CatalogEvidence:
    """Read a catalog snapshot. Raises sqlite3.Error if it is damaged or has no lake."""
    with closing(sqlite3.connect(f"file:{snapshot}?mode=ro&immutable=1", uri=True)) as catalog:
        live = catalog.execute(LIVE).fetchall()
        dead = {path for (path,) in catalog.execute(DEAD)}
        masked = catalog.execute(MASKED).fetchall()
        (catalog_id,) = catalog.execute(CATALOG_ID).fetchone() or ("",)
    paths = {file_id: path for path, file_id, _ in live}
    rows: dict[str, int] = {}
    for path, _, count in live:
        rows[_table(path)] = rows.get(_table(path), 0) + count
    for file_id, _, count in masked:
        if file_id in paths:
            rows[_table(paths[file_id])] -= count
    masks = {paths[file_id]: mask for file_id, mask, _ in masked if file_id in paths}
    counts = {path: count for path, _, count in live}
    return CatalogEvidence(catalog_id, taken_at, counts, dead - counts.keys(), masks, rows)


def _table(path: str) -> str:
    return path.split("/")[1]
