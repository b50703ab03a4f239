"""CSV, JSON lines and Parquet files, a chunk at a time, so that memory stays bounded."""

import io
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from functions.normalize.columns import Documents
from functions.normalize.csv_header import FileForm, FileUnreadable, check_names
from functions.normalize.csv_lines import MAX_REASONS, NOT_UTF8, CsvLines
from functions.normalize.text_encoding import EncodingUnknown, as_utf8
from storage.ipc.decoding import InvalidJson, decode_json, decoded_bytes

__all__ = [
    "FORMS", "Chunk", "FileForm", "FileUnreadable", "chunks_of", "count_rows", "csv_section",
    "is_json_object", "is_parquet", "joined", "json_lines", "read_chunks",
]  # fmt: skip

CHUNK_ROWS = 20_000
# Each column of a wide file may become a record of its own.
CHUNK_CELLS = 500_000
SHOWN_CHARS = 200
PARQUET_HEAD = b"PAR1"
BLOCK_BYTES = 4 << 20
# Of JSON lines as they are written; in memory they may take 30 times as much.
CHUNK_BYTES = 8 << 20
# A JSON file that is one list or one document is read whole: its size, and that in memory.
MAX_WHOLE_BYTES, MAX_DECODED_BYTES = 256 << 20, 2 << 30
Document = dict[str, Any]


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


def read_chunks(
    path: Path, delimiter: str = "", ending: str | None = None, form: FileForm | None = None
) -> Iterator[Chunk]:
    """The records of a file in order, by its ending or by `ending` instead, such as '.csv'.

    What begins as Parquet does is read as Parquet. `form` states how text is written; `delimiter`
    alone does, too. Raises FileUnreadable, and OSError when the file has gone.
    """
    with path.open("rb") as file:
        ending = ending or path.suffix.lower()
        yield from chunks_of(file, ending, form or FileForm(delimiter))


def chunks_of(file: BinaryIO, ending: str, form: FileForm) -> Iterator[Chunk]:
    """The records of an open file, as `read_chunks` returns them."""
    start = file.read(len(PARQUET_HEAD))
    read = _parquet if start == PARQUET_HEAD else FORMS.get(ending)
    if read is None:
        raise FileUnreadable(f"{ending or 'no ending'!r}: write {', '.join(FORMS)}")
    try:
        yield from read(file, form)
    except (pa.ArrowException, EncodingUnknown, EOFError) as error:
        raise FileUnreadable(str(error)) from error
    except UnicodeDecodeError as error:
        raise FileUnreadable(
            f"it is not {error.encoding} ({error.reason} at byte {error.start}): write its "
            "encoding in [connection]"
        ) from error


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


def _csv(file: BinaryIO, form: FileForm) -> Iterator[Chunk]:
    refused: list[str] = []
    rows = 0
    lines = CsvLines(as_utf8(file, form.encoding), form, refused)
    while lines.next_section():
        for table in csv_section(lines, refused):
            rows += table.num_rows
            yield _chunk(table, refused)
    if refused:
        if not rows:
            _check_any_utf8(refused)
        yield _chunk([], refused)


def csv_section(lines: CsvLines, refused: list[str]) -> Iterator[pa.Table]:
    """The rows below one header."""

    def skip(row: Any) -> str:
        if len(refused) >= MAX_REASONS:
            refused.append("")
            return "skip"
        text, line = repr(row.text[:SHOWN_CHARS]), lines.line_of(row.number)
        width = f"{row.actual_columns} columns instead of {row.expected_columns}"
        refused.append(f"line {line}: {width}: {text}")
        return "skip"

    if not lines.has_rows():
        return
    names = list(lines.header.names)
    # All as text: what a column holds is the mapping's to judge, not its first block's.
    reader = pyarrow.csv.open_csv(
        lines,
        pyarrow.csv.ReadOptions(block_size=BLOCK_BYTES, use_threads=False, column_names=names),
        pyarrow.csv.ParseOptions(delimiter=lines.header.delimiter, invalid_row_handler=skip),
        pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True,
            null_values=["", "NULL", "null", "NA"],
            include_columns=[name for name, count in Counter(names).items() if count == 1],
        ),
    )  # fmt: skip
    size = _chunk_rows(len(names))
    for batch in reader:
        for start in range(0, batch.num_rows, size):
            yield pa.Table.from_batches([batch.slice(start, size)])


def _check_any_utf8(refused: Sequence[str]) -> None:
    """Raise FileUnreadable for a file of which no row is UTF-8."""
    if all(NOT_UTF8 in why for why in refused):
        raise FileUnreadable(refused[0])


def _json(opened: BinaryIO, form: FileForm) -> Iterator[Chunk]:
    """JSON documents, one a line; or one list of them, or one document over several lines."""
    file = as_utf8(opened, form.encoding)
    lines: Iterator[tuple[int, bytes]] = enumerate(file, 1)
    number, first = next((pair for pair in lines if pair[1].strip()), (1, b""))
    small = os.fstat(opened.fileno()).st_size <= MAX_WHOLE_BYTES
    if first.lstrip().startswith(b"["):
        if not small:
            raise FileUnreadable(
                f"one JSON list of more than {MAX_WHOLE_BYTES >> 20} MB: write one document a line"
            )
        yield from _json_list(first + file.read())
        return
    if small and not is_json_object(first):
        whole = first + file.read()
        if is_json_object(whole):
            yield Chunk([decode_json(whole, dict[str, Any], nan=True)])
            return
        lines = enumerate(io.BytesIO(whole), number)
    else:
        lines = chain([(number, first)], lines)
    yield from _numbered(lines)


def json_lines(file: Iterable[bytes], before: int = 0) -> Iterator[Chunk]:
    """JSON documents, one a line, below so many lines."""
    yield from _numbered(enumerate(file, before + 1))


def _numbered(lines: Iterator[tuple[int, bytes]]) -> Iterator[Chunk]:
    while some := list(islice(_of_chunk(lines), CHUNK_ROWS)):
        refused: list[str] = []
        yield _chunk(list(_parsed(some, refused)), refused)


def _of_chunk(lines: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """The next lines up to CHUNK_BYTES, one at least."""
    size = 0
    for number, line in lines:
        yield number, line
        size += len(line)
        if size >= CHUNK_BYTES:
            return


def is_json_object(text: bytes) -> bool:
    """Return True if a text is one JSON object."""
    try:
        decode_json(text, dict[str, Any], nan=True)
    except InvalidJson:
        return False
    return True


def _json_list(text: bytes) -> Iterator[Chunk]:
    if decoded_bytes(text) > MAX_DECODED_BYTES:
        raise FileUnreadable(
            f"one JSON list that takes more than {MAX_DECODED_BYTES >> 30} GB of memory: write one "
            "document a line"
        )
    try:
        records = decode_json(text, list[Any], nan=True)
    except InvalidJson as error:
        raise FileUnreadable(f"not a list of JSON documents: {error}") from error
    for start in range(0, len(records), CHUNK_ROWS):
        some = records[start : start + CHUNK_ROWS]
        refused = [
            f"element {place} of the list is not a JSON object"
            for place, record in enumerate(some, start + 1) if not isinstance(record, dict)
        ]  # fmt: skip
        yield _chunk([record for record in some if isinstance(record, dict)], refused)


def _parsed(lines: Iterable[tuple[int, bytes]], refused: list[str]) -> Iterator[Document]:
    for number, line in lines:
        if not line.strip():
            continue
        try:
            document = decode_json(line, nan=True)
        except InvalidJson as error:
            refused.append(f"line {number} is not JSON ({error})")
            continue
        if isinstance(document, dict):
            yield document
        else:
            refused.append(f"line {number} is not a JSON object")


def _parquet(opened: BinaryIO, _: FileForm) -> Iterator[Chunk]:
    with pq.ParquetFile(opened) as file:
        check_names(file.schema_arrow.names)
        for batch in file.iter_batches(_chunk_rows(len(file.schema_arrow.names))):
            yield Chunk(pa.Table.from_batches([batch]))


def _chunk_rows(columns: int) -> int:
    return max(1, min(CHUNK_ROWS, CHUNK_CELLS // columns))


def joined(chunks: Sequence[Chunk]) -> Chunk:
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


Form = Callable[[BinaryIO, FileForm], Iterator[Chunk]]
FORMS: dict[str, Form] = {
    ".csv": _csv, ".jsonl": _json, ".ndjson": _json, ".json": _json,
    ".parquet": _parquet, ".tsv": _csv,
}  # fmt: skip
