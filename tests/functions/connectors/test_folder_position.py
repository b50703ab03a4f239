"""Position of a watched folder: cursors by inode, as JSON, and of one reader only."""

import io
import json
from datetime import timedelta
from pathlib import Path

import pytest

from functions.connectors.folder_files import FolderFile
from functions.connectors.folder_position import Finished, FolderState, WholeFile
from functions.connectors.followed_lines import LineCursor
from functions.connectors.real_folder import RealFolder

CURSOR = LineCursor("a.csv", 0).after(io.BytesIO(b"ts\n1\n"), b"ts\n1\n")


@pytest.fixture
def file(tmp_path: Path) -> FolderFile:
    path = tmp_path / "b.csv"
    path.write_bytes(b"ts\n1\n2\n")
    return FolderFile(RealFolder(tmp_path), "b.csv", path.stat(), timedelta(0), timedelta(0))


def test_a_position_survives_json() -> None:
    state = FolderState(None, "one")
    state.put(CURSOR)
    state.whole = WholeFile("c.parquet", "stamp", 3)
    state.finish(Finished("d.csv", "stamp", "no time column"))
    again = FolderState(json.loads(json.dumps(state.position())), "one")
    assert again.position() == state.position()
    assert again.take_finished() == [Finished("d.csv", "stamp", "no time column")]
    assert again.finished_count == 0


@pytest.mark.parametrize(
    "before", [{"reader": "two", "followed": [["a.csv", 7, 5]]}, {"file": "a"}]
)
def test_a_position_of_another_reader_or_version_does_not_count(before: object) -> None:
    assert FolderState(before, "one").position() == FolderState(None, "one").position()


def test_a_renamed_file_keeps_its_cursor_and_a_replaced_one_begins(file: FolderFile) -> None:
    state, inode = FolderState(None, "one"), file.status.st_ino
    state.put(LineCursor("a.csv", inode, 5, 2, 3, CURSOR.check))
    with file.folder.open(file.name) as opened:
        assert state.cursor_of(file, opened) == LineCursor("b.csv", inode, 5, 2, 3, CURSOR.check)
    other = io.BytesIO(b"ts\n8\n9\n")
    assert state.cursor_of(file, other) == LineCursor("b.csv", inode)


def test_files_that_are_gone_are_forgotten_and_make_room(file: FolderFile) -> None:
    state = FolderState(None, "one")
    state.put(CURSOR)
    assert not state.has_room(file, 1)
    state.keep_only({file.status.st_ino})
    assert state.has_room(file, 1)
    assert state.known(0) is None
