"""A small lake, and sandboxes over it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.config.folders import Folders
from storage.lake.writer import Writer
from storage.query.reader import Reader
from storage.sandbox.sandbox_pool import SandboxPool
from tests.conftest import NOW, LakeFixture


@pytest.fixture(scope="session")
def sandbox_lake(tmp_path_factory: pytest.TempPathFactory, empty_lake: Path) -> Folders:
    """A lake with rows, which nobody writes to."""
    folders = Folders.at(tmp_path_factory.mktemp("sandbox") / "var")
    shutil.copytree(empty_lake, folders.data)
    house = LakeFixture(folders, Writer.open(folders.data), Reader.open(folders.data))
    house.put("metrics", [{"server": s, "ts": NOW, "mem_used_pct": 10.5} for s in "abc"])
    house.commit()
    house.reader.close()
    house.writer.close()
    return folders


@pytest.fixture(scope="session")
def pool(sandbox_lake: Folders) -> Iterator[SandboxPool]:
    """Sandboxes of that lake."""
    pool = SandboxPool(sandbox_lake)
    yield pool
    pool.close()
