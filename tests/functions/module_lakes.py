"""A lake for all tests of a module, which only read it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storage.config.folders import Folders
from storage.lake.writer import Writer
from storage.query.reader import Reader
from tests.conftest import LakeFixture


@contextmanager
def house_at(data: Path) -> Iterator[LakeFixture]:
    """Open a lake like the fixture `house`, for as long as the context lasts."""
    writer, reader = Writer.open(data), Reader.open(data)
    try:
        yield LakeFixture(Folders.at(data), writer, reader)
    finally:
        reader.close()
        writer.close()
