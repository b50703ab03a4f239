"""CSV, JSON lines and Parquet files, a chunk at a time, so that memory stays bounded."""

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from functions.normalize.columns import Documents
from storage.errors import HoursightError
from storage.ipc.decoding import InvalidJson, decode_json

__all__ = [
    "FORMS", "Chunk", "FileUnreadable", "Header", "count_rows", "grows_by_lines", "is_parquet",
    "read_chunks", "read_header", "read_lines",
]  # fmt: skip

CHUNK_ROWS = 20_000
SHOWN_CHARS = 200
PARQUET_HEAD = b"PAR1"
UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
UTF_8_MARK = b"\xef\xbb\xbf"
BLOCK_BYTES = 4 << 20
# A JSON file that is one list is read whole.
MAX_LIST_BYTES = 256 << 20
Document = dict[str, Any]


class FileUnreadable(HoursightError):
    """A file that is not what its name says; the message says where and why."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some records in a row, how many others could not be read, and why the first of them.

    Records are a table where the file is columnar.
    """

    documents: Documents
    refused: int = 0
    why: str = ""

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of all fields that a record has, in their order."""
        if isinstance(self.documents, pa.Table):
            return tuple(self.documents.column_names)
        return tuple(dict.fromkeys(name for document in self.documents for name in document))


class Header(NamedTuple):
    """The header of a CSV file: its size in bytes through the end of its line, and its names."""

    size: int
    names: list[str]


def read_chunks(path: Path, delimiter: str = ",", ending: str | None = None) -> Iterator[Chunk]:
    """The records of a file in order, by its ending or by `ending` instead, such as '.csv'.

    What begins as Parquet does is read as Parquet. Raises FileUnreadable, and OSError when the
    file has gone.
    """
    form = FORMS.get(ending or path.suffix.lower())
    if is_parquet(path):
        form = _parquet
    if form is None:
        raise FileUnreadable(f"{path.suffix or 'no ending'!r}: write {', '.join(FORMS)}")
    try:
        yield from form(path, delimiter)
    except (pa.ArrowException, UnicodeDecodeError, EOFError) as error:
        raise FileUnreadable(str(error)) from error


def read_lines(
    lines: bytes, ending: str, delimiter: str = ",", header: bytes = b"", before: int = 0
) -> Chunk:
    """The records of some complete lines of a CSV or JSON lines file, for a file that grows.

    `header` is what stands before the rows of a CSV file, through the line with the names; `before`
    is the number of lines before these ones. Raises FileUnreadable.
    """
    file = io.BytesIO(header + lines)
    try:
        if FORMS[ending] is _csv:
            return _joined(list(_csv_rows(file, delimiter)))
        return _joined(list(_documents(file, before)))
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise FileUnreadable(str(error)) from error


def read_header(file: BinaryIO, delimiter: str = ",") -> Header:
    """The header of a CSV file that is open at its start; raises FileUnreadable without one."""
    first = file.readline()
    if not first.strip():
        raise FileUnreadable("it is empty: its first line must name the columns")
    options = pyarrow.csv.ParseOptions(delimiter=delimiter)
    try:
        names = pyarrow.csv.read_csv(io.BytesIO(first), parse_options=options).column_names
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise FileUnreadable(str(error)) from error
    end = first.rstrip(b"\r\n").find(b"\r") + 1  # where lines end with CR alone
    return Header(end or len(first), list(names))


def grows_by_lines(start: bytes, ending: str) -> bool:
    """Return True if a file that begins with `start` can be read line by line while it grows.

    Parquet, a JSON list and UTF-16 are read whole.
    """
    form = FORMS.get(ending)
    if start.startswith((PARQUET_HEAD, *UTF_16_MARKS)) or form not in (_csv, _json_lines):
        return False
    return form is _csv or not start.removeprefix(UTF_8_MARK).lstrip().startswith(b"[")


def is_parquet(path: Path) -> bool:
    """Return True if a file begins as Parquet does, whatever it is called."""
    with path.open("rb") as file:
        return file.read(len(PARQUET_HEAD)) == PARQUET_HEAD


def count_rows(path: Path) -> int:
    """About how many records a file has, for a progress bar."""
    if path.suffix.lower() == ".parquet":
        return int(pq.read_metadata(path).num_rows)
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(BLOCK_BYTES), b""))


def _csv(path: Path, delimiter: str) -> Iterator[Chunk]:
    with path.open("rb") as file:
        yield from _csv_rows(file, delimiter)


def _csv_rows(file: BinaryIO, delimiter: str) -> Iterator[Chunk]:
    refused: list[str] = []

    def skip(row: Any) -> str:
        text = repr(row.text[:SHOWN_CHARS])
        refused.append(f"{row.actual_columns} columns instead of {row.expected_columns}: {text}")
        return "skip"

    names = read_header(file, delimiter).names
    _check_names(names)
    file.seek(0)
    # All as text: what a column holds is the mapping's to judge, not its first block's.
    reader = pyarrow.csv.open_csv(
        file,
        pyarrow.csv.ReadOptions(block_size=BLOCK_BYTES, use_threads=False),
        pyarrow.csv.ParseOptions(delimiter=delimiter, invalid_row_handler=skip),
        pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True,
            null_values=["", "NULL", "null", "NA"],
        ),
    )  # fmt: skip
    for batch in reader:
        for start in range(0, batch.num_rows, CHUNK_ROWS):
            some = pa.Table.from_batches([batch.slice(start, CHUNK_ROWS)])
            yield _chunk(some, refused)
    if refused:  # in a file of nothing else
        yield _chunk([], refused)


def _check_names(names: Sequence[str]) -> None:
    if len(set(names)) < len(names):
        raise FileUnreadable(f"a column comes twice; this file has {', '.join(names)}")


def _json_lines(path: Path, _: str) -> Iterator[Chunk]:
    with path.open("rb") as file:
        if file.read(1) == b"[":
            yield from _json_list(path)
            return
        file.seek(0)
        yield from _documents(file)


def _documents(file: Iterable[bytes], before: int = 0) -> Iterator[Chunk]:
    lines = enumerate(file, before + 1)
    while some := list(islice(lines, CHUNK_ROWS)):
        refused: list[str] = []
        yield _chunk(list(_parsed(some, refused)), refused)


def _parsed(lines: Iterable[tuple[int, bytes]], refused: list[str]) -> Iterator[Document]:
    for number, line in lines:
        if not line.strip():
            continue
        try:
            document = decode_json(line)
        except InvalidJson as error:
            refused.append(f"line {number} is not JSON ({error})")
            continue
        if isinstance(document, dict):
            yield document
        else:
            refused.append(f"line {number} is not a JSON object")


def _json_list(path: Path) -> Iterator[Chunk]:
    if path.stat().st_size > MAX_LIST_BYTES:
        raise FileUnreadable(
            f"one JSON list of more than {MAX_LIST_BYTES >> 20} MB: write one document a line"
        )
    try:
        documents = decode_json(path.read_bytes(), list[Document])
    except InvalidJson as error:
        raise FileUnreadable(f"not a list of JSON documents: {error}") from error
    for start in range(0, len(documents), CHUNK_ROWS):
        yield Chunk(documents[start : start + CHUNK_ROWS])


def _parquet(path: Path, _: str) -> Iterator[Chunk]:
    with pq.ParquetFile(path) as file:
        _check_names(file.schema_arrow.names)
        for batch in file.iter_batches(CHUNK_ROWS):
            yield Chunk(pa.Table.from_batches([batch]))


def _joined(chunks: Sequence[Chunk]) -> Chunk:
    """One chunk of what several have."""
    parts = [chunk.documents for chunk in chunks if len(chunk.documents)]
    tables = [part for part in parts if isinstance(part, pa.Table)]
    documents: Documents = (
        pa.concat_tables(tables, promote_options="default")
        if tables
        else list(chain.from_iterable(parts))
    )
    reasons = [chunk.why for chunk in chunks if chunk.refused]
    return Chunk(documents, sum(chunk.refused for chunk in chunks), reasons[0] if reasons else "")


def _chunk(documents: Documents, refused: list[str]) -> Chunk:
    chunk = Chunk(documents, len(refused), refused[0] if refused else "")
    refused.clear()
    return chunk


Form = Callable[[Path, str], Iterator[Chunk]]
FORMS: dict[str, Form] = {
    ".csv": _csv, ".jsonl": _json_lines, ".ndjson": _json_lines, ".json": _json_lines,
    ".parquet": _parquet,
}  # fmt: skip
