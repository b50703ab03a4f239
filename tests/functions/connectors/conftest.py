"""Fixtures of the connectors' tests."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from functions.connectors.incremental_read import IncrementalRead
from functions.connectors.source_file import read_source
from storage.config.folders import Folders


@pytest.fixture
def open_read(tmp_path: Path) -> Iterator[Callable[[str], IncrementalRead]]:
    """Opens an incremental read of the source that a text describes; closes all at the end."""
    opened = []

    def open_source(text: str) -> IncrementalRead:
        opened.append(IncrementalRead(read_source("shop", text.encode(), Folders.at(tmp_path))))
        return opened[-1]

    yield open_source
    for read in opened:
        read.close()
