"""A lake for the tests of a whole module, which only read it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storage.config.folders import Folders
from storage.lake.writer import Keeper
from storage.query.reader import Reader
from tests.conftest import House


@contextmanager
def house_at(data: Path) -> Iterator[House]:
    """What the fixture `house` is for one test."""
    keeper, reader = Keeper.open(data), Reader.open(data)
    try:
        yield House(Folders.at(data), keeper, reader)
    finally:
        reader.close()
        keeper.close()
