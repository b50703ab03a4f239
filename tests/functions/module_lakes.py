"""A lake for all tests of a module, which only read it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storage.config.folders import Folders
from storage.lake.writer import Writer
from tests.conftest import LakeFixture


@contextmanager
def house_at(data: Path) -> Iterator[LakeFixture]:
    """Open a lake like the fixture `house`, for as long as the context lasts."""
    house = LakeFixture(Folders.at(data), Writer.open(data))
    try:
        yield house
    finally:
        house.close()
