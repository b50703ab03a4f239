"""A lake for the tests of a whole module, which only read it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storage.config.folders import Folders
from storage.lake.writer import Writer
from storage.query.reader import Reader
from tests.conftest import LakeFixture


@contextmanager
def house_at(data: Path) -> Iterator[LakeFixture]:
    """What the fixture `house` is for one test."""
    writer, reader = Writer.open(data), Reader.open(data)
    try:
        yield LakeFixture(Folders.at(data), writer, reader)
    finally:
        reader.close()
        writer.close()
