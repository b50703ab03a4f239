"""One file chunk by chunk: an import resumes, begins again, and knows a changed file."""

import json
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from functions.connectors.whole_files import ChunkProgress, FileConnector
from functions.normalize import file_readers
from functions.normalize.csv_header import FileForm
from tests.conftest import NOW


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(file_readers, "CHUNK_ROWS", 2)
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f'{{"n": {n}}}\n' for n in range(5)))
    return path


def read(connector: FileConnector, position: Any, pages: int = 99) -> tuple[list[int], Any]:
    """The numbers of so many pages after a position, and the position after them."""
    numbers: list[int] = []
    for _, page in zip(range(pages), connector.pages(position, NOW), strict=False):
        numbers += [each["n"] for each in page.documents]
        position = json.loads(json.dumps(page.position))
    return numbers, position


def test_an_import_that_was_cut_off_resumes(file: Path) -> None:
    first, position = read(FileConnector(file), None, 1)
    connector = FileConnector(file)
    rest, end = read(connector, position)
    assert (first, rest, connector.resumed) == ([0, 1], [2, 3, 4], True)
    assert read(connector, end)[0] == []


def test_an_import_after_one_that_reached_the_end_begins_again(file: Path) -> None:
    end, connector = read(FileConnector(file), None)[1], FileConnector(file)
    assert read(connector, end)[0] == [0, 1, 2, 3, 4]
    assert (connector.resumed, connector.repeated) == (False, True)


@pytest.mark.parametrize("change", ["content", "mapping", "form"])
def test_what_another_file_or_mapping_has_read_does_not_count(file: Path, change: str) -> None:
    position = read(FileConnector(file, FileForm(","), "one"), None, 1)[1]
    if change == "content":
        file.write_text(file.read_text().replace("4", "9"))
    form = FileForm(";" if change == "form" else ",")
    reader = "two" if change == "mapping" else "one"
    assert len(read(FileConnector(file, form, reader), position)[0]) == 5


def test_a_renamed_file_is_the_same_file(file: Path) -> None:
    position = read(FileConnector(file), None, 1)[1]
    assert read(FileConnector(file.rename(file.with_name("b.jsonl"))), position)[0] == [2, 3, 4]


def test_the_file_that_an_operator_names_may_be_a_link(file: Path) -> None:
    link = file.with_name("link.jsonl")
    link.symlink_to(file)
    assert read(FileConnector(link), None)[0] == [0, 1, 2, 3, 4]


def test_chunks_continue_after_those_that_were_taken(file: Path) -> None:
    progress = ChunkProgress(FileForm())

    def opener() -> BinaryIO:
        return file.open("rb")

    assert [n for n, _ in progress.chunks_after(opener, "stamp", 1, ".jsonl")] == [2, 3]
    assert [n for n, _ in progress.chunks_after(opener, "other", 0, ".jsonl")] == [1, 2, 3]
