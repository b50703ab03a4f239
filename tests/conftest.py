"""Fixture: a lake in a temporary folder, with a writer that commits on demand."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, settings

from storage.config.folders import Folders
from storage.inbox import segment
from storage.lake.writer import CommitResult, Writer
from storage.model.schema import table
from storage.query.reader import Reader

# On a busy machine, examples are slow to generate; that is not a fault of the code.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

NOW = datetime(2026, 5, 6, 12, 0, 30, tzinfo=UTC)


class LakeFixture:
    """A data folder with its writer and a reader beside it, which opens when it is first used."""

    def __init__(self, folders: Folders, writer: Writer, reader: Reader | None = None) -> None:
        self.folders, self.writer = folders, writer
        if reader is not None:
            self.reader = reader

    @cached_property
    def reader(self) -> Reader:
        """Opening one takes as long as some commits, and many tests only write."""
        return Reader.open(self.folders.data)

    def close(self) -> None:
        """Close the reader if it was used, and the writer."""
        if "reader" in vars(self):
            self.reader.close()
        self.writer.close()

    def put(self, table_name: str, rows: list[dict[str, Any]] | pa.Table, **fields: Any) -> Path:
        """Write a segment; rows may be dicts, `fields` are those of its provenance."""
        if isinstance(rows, list):
            rows = pa.Table.from_pylist(rows, table(table_name).arrow)
        provenance = segment.Provenance(
            table=table_name, function="test", created_at=fields.pop("created_at", NOW), **fields
        )
        return segment.write(self.folders, rows, provenance)

    def commit(self, now: datetime = NOW) -> CommitResult:
        """Commit the segments of the inbox."""
        return self.writer.commit_waiting(now)

    def one(self, sql: str, **parameters: Any) -> Any:
        """The first value of a query."""
        return self.reader.query(sql, **parameters).column(0)[0].as_py()


@pytest.fixture(scope="session")
def empty_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with an empty lake, to be copied, which is faster than creating one."""
    data = tmp_path_factory.mktemp("empty")
    Writer.open(data).close()
    return data


@pytest.fixture
def house(tmp_path: Path, empty_lake: Path) -> Iterator[LakeFixture]:
    shutil.copytree(empty_lake, tmp_path, dirs_exist_ok=True)
    house = LakeFixture(Folders.at(tmp_path), Writer.open(tmp_path))
    yield house
    house.close()
