"""CSV, JSON lines and Parquet as documents, a chunk at a time, so that memory stays bounded."""

import io
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from storage.errors import HoursightError
from storage.ipc.decoding import InvalidJson, decode_json

__all__ = ["FORMS", "Chunk", "FileUnreadable", "count_rows", "read_chunks"]

CHUNK_ROWS = 20_000
BLOCK_BYTES = 4 << 20
# A JSON file that is one list is read whole.
MAX_LIST_BYTES = 256 << 20
Document = dict[str, Any]


class FileUnreadable(HoursightError):
    """A file that is not what its name says; the message says where and why."""


class Chunk(msgspec.Struct, frozen=True):
    """Some documents in a row, how many records could not be read, and notes on those."""

    documents: list[Document]
    refused: int = 0
    notes: tuple[str, ...] = ()


def read_chunks(path: Path, delimiter: str = ",") -> Iterator[Chunk]:
    """The records of a file in order; raises FileUnreadable, and OSError when it has gone."""
    form = FORMS.get(path.suffix.lower())
    if form is None:
        raise FileUnreadable(f"{path.suffix or 'no ending'!r}: write {', '.join(FORMS)}")
    try:
        yield from form(path, delimiter)
    except (pa.ArrowException, UnicodeDecodeError, EOFError) as error:
        raise FileUnreadable(str(error)) from error


def count_rows(path: Path) -> int:
    """About how many records a file has, for a progress bar."""
    if path.suffix.lower() == ".parquet":
        return int(pq.read_metadata(path).num_rows)
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(BLOCK_BYTES), b""))


def _csv(path: Path, delimiter: str) -> Iterator[Chunk]:
    refused: list[str] = []

    def skip(row: Any) -> str:
        refused.append(f"{row.actual_columns} fields instead of {row.expected_columns}")
        return "skip"

    with path.open("rb") as file:
        names = _header(file, delimiter)
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
                yield _chunk(path, _documents(batch.slice(start, CHUNK_ROWS)), refused)


def _header(file: BinaryIO, delimiter: str) -> list[str]:
    first = file.readline()
    file.seek(0)
    if not first.strip():
        raise FileUnreadable("it is empty: its first line must name the columns")
    table = pyarrow.csv.read_csv(
        io.BytesIO(first), parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter)
    )
    return list(table.column_names)


def _json_lines(path: Path, _: str) -> Iterator[Chunk]:
    with path.open("rb") as file:
        if file.read(1) == b"[":
            yield from _json_list(path)
            return
        file.seek(0)
        lines = enumerate(file, 1)
        while some := list(islice(lines, CHUNK_ROWS)):
            refused: list[str] = []
            yield _chunk(path, list(_parsed(some, refused)), refused)


def _parsed(lines: Iterable[tuple[int, bytes]], refused: list[str]) -> Iterator[Document]:
    for number, line in lines:
        if not line.strip():
            continue
        try:
            document = decode_json(line)
        except InvalidJson as error:
            refused.append(f"line {number} is no JSON ({error})")
            continue
        if isinstance(document, dict):
            yield document
        else:
            refused.append(f"line {number} holds no document")


def _json_list(path: Path) -> Iterator[Chunk]:
    if path.stat().st_size > MAX_LIST_BYTES:
        raise FileUnreadable(
            f"one JSON list of more than {MAX_LIST_BYTES >> 20} MB: write one document a line"
        )
    try:
        documents = decode_json(path.read_bytes(), list[Document])
    except InvalidJson as error:
        raise FileUnreadable(f"no list of JSON documents: {error}") from error
    for start in range(0, len(documents), CHUNK_ROWS):
        yield Chunk(documents[start : start + CHUNK_ROWS])


def _parquet(path: Path, _: str) -> Iterator[Chunk]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(CHUNK_ROWS):
            yield Chunk(_documents(batch))


def _documents(batch: pa.RecordBatch) -> list[Document]:
    names = batch.schema.names
    columns = [_values(column) for column in batch.columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _values(column: pa.Array) -> list[Any]:
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    values: list[Any] = column.to_pylist()
    return values


def _chunk(path: Path, documents: list[Document], refused: list[str]) -> Chunk:
    notes = (
        (f"{path.name}: {len(refused)} records left out, such as {refused[0]}",) if refused else ()
    )
    chunk = Chunk(documents, len(refused), notes)
    refused.clear()
    return chunk


Form = Callable[[Path, str], Iterator[Chunk]]
FORMS: dict[str, Form] = {
    ".csv": _csv, ".jsonl": _json_lines, ".ndjson": _json_lines, ".json": _json_lines,
    ".parquet": _parquet,
}  # fmt: skip
