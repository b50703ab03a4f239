"""A lake in memory for tests, which takes rows as dictionaries."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from storage.config.folders import Folders
from storage.model.schema import table
from storage.query.memory_lake import MemoryLake

__all__ = ["memory_lake", "put"]


@contextmanager
def memory_lake(data: Path) -> Iterator[MemoryLake]:
    lake = MemoryLake(Folders.at(data))
    try:
        yield lake
    finally:
        lake.close()


def put(lake: MemoryLake, name: str, rows: list[dict[str, Any]]) -> None:
    lake.put(name, pa.Table.from_pylist(rows, table(name).arrow))
