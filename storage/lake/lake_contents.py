"""Contents of a lake's folder, counted without its catalog: Parquet files, tables, days."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

__all__ = ["LakeContents", "contents_of", "has_parquet", "parquet_files"]

DAY = re.compile(r"year=(\d+)/month=(\d+)/day=(\d+)/")
MASK_SUFFIX = "-delete.parquet"  # DuckLake's lists of masked rows


@dataclass(frozen=True, slots=True)
class LakeContents:
    """Number and size of the Parquet files, their tables, and the first and last day of rows."""

    files: int
    size_bytes: int
    tables: tuple[str, ...]
    first: date | None
    last: date | None

    def __str__(self) -> str:
        noun = "Parquet file" if self.files == 1 else "Parquet files"
        text = f"{self.files:,} {noun} ({self.size_bytes / 1e6:,.1f} MB) of the tables "
        text += ", ".join(self.tables)
        return f"{text}, with rows from {self.first} to {self.last}" if self.first else text


def parquet_files(files: Path) -> Iterator[Path]:
    """The Parquet files below `files` that have rows."""
    for path in files.rglob("*.parquet"):
        if not path.name.endswith(MASK_SUFFIX):
            yield path


def has_parquet(files: Path) -> bool:
    """Return True if there is a Parquet file below `files`."""
    return next(parquet_files(files), None) is not None


def contents_of(files: Path) -> LakeContents:
    """Count the Parquet files below `files` by their names; none is opened."""
    count, size, tables, days = 0, 0, set(), set()
    for path in parquet_files(files):
        count += 1
        size += path.stat().st_size
        parts = path.relative_to(files).parts  # main/TABLE/…
        tables.add(parts[1] if len(parts) > 2 else parts[0])
        if match := DAY.search(path.as_posix()):
            days.add(date(*(int(part) for part in match.groups())))
    return LakeContents(
        count, size, tuple(sorted(tables)), min(days, default=None), max(days, default=None)
    )
