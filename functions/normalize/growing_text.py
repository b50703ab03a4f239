"""Text files that grow: whether one can be read line by line, and lines below a known header."""

import codecs
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pyarrow as pa

from functions.normalize.csv_header import CsvHeader, FileForm, FileUnreadable, find_header
from functions.normalize.csv_lines import HEAD_LINES, CsvLines
from functions.normalize.file_readers import (
    FORMS,
    PARQUET_HEAD,
    Chunk,
    csv_section,
    is_json_object,
    joined,
    json_lines,
)
from functions.normalize.text_encoding import BOM, EncodingUnknown

__all__ = ["CSV", "JSON", "GrowingHeader", "grows_by_lines", "header_of", "read_lines"]

CSV = tuple(ending for ending, form in FORMS.items() if form is FORMS[".csv"])
JSON = tuple(ending for ending, form in FORMS.items() if form is FORMS[".json"])
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# Headers of several lines, or of sections: files that other programs export as a whole.
_OF_SECTIONS = re.compile(rb'#(?:group|datatype|default)\b|"?(?:Full )?[Ll]abel"?,')


@dataclass(frozen=True, slots=True)
class GrowingHeader:
    """The header of a CSV file and its size: the bytes through the end of its line."""

    header: CsvHeader
    size: int

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return self.header.names


def grows_by_lines(start: bytes, ending: str, form: FileForm) -> bool:
    """Return True if a file that begins with `start` can be read line by line while it grows.

    What has sections, is one JSON document or list, or has two bytes a character is read whole. So
    is a file of which too little is written to know.
    """
    if start.startswith((PARQUET_HEAD, *_UTF_16)) or not _has_plain_lines(start, form):
        return False
    if ending in CSV:
        return _is_plain_csv(start, form)
    return ending in JSON and _is_json_lines(start.removeprefix(BOM))


def header_of(start: bytes, form: FileForm) -> GrowingHeader:
    """The header of a CSV file that begins with `start`; raises FileUnreadable without one."""
    text = _decoded(start.removeprefix(BOM), form).decode(errors="replace")
    lines = [line.rstrip("\r") for line in text.split("\n", HEAD_LINES)[:HEAD_LINES]]
    header, place = find_header(lines, form), 0
    for _ in range(header.lines):
        place = start.find(b"\n", place) + 1 or len(start)
    return GrowingHeader(header, place)


def read_lines(
    lines: bytes, form: FileForm, header: CsvHeader | None = None, before: int = 0
) -> Chunk:
    """The records of some complete lines of a file: of CSV below `header`, else of JSON.

    `before` is the number of lines before these ones. Raises FileUnreadable.
    """
    try:
        text = _decoded(lines if before else lines.removeprefix(BOM), form)
        if header is None:
            return joined(list(json_lines(io.BytesIO(text), before)))
        return joined(list(_rows(text, header, form, before)))
    except (pa.ArrowException, EncodingUnknown, UnicodeDecodeError) as error:
        raise FileUnreadable(str(error)) from error


def _rows(text: bytes, header: CsvHeader, form: FileForm, before: int) -> Iterator[Chunk]:
    refused: list[str] = []
    lines = CsvLines(io.BytesIO(text), form, refused)
    lines.begin_section(replace(header, lines=0), before + 1)
    more = True
    while more:
        for table in csv_section(lines, refused):
            yield Chunk(table)
        more = lines.next_section()
    yield Chunk([], len(refused), refused[0] if refused else "")


def _has_plain_lines(start: bytes, form: FileForm) -> bool:
    """Return True if a line ends with the byte of a line feed in the encoding of a file."""
    return b"\0" not in start and (not form.encoding or "\n".encode(form.encoding) == b"\n")


def _is_plain_csv(start: bytes, form: FileForm) -> bool:
    try:
        header = header_of(start, form)
    except FileUnreadable:
        return False
    head = start[: header.size]
    sections = any(map(_OF_SECTIONS.match, head.removeprefix(BOM).split(b"\n")))
    return not header.header.marked and not sections and head.endswith(b"\n")


def _is_json_lines(start: bytes) -> bool:
    """Return True if the first line is a JSON object; or another one, below what is no JSON."""
    lines = [line for line in start.split(b"\n")[:-1] if line.strip()]
    if lines and is_json_object(lines[0]):
        return True
    return not start.lstrip().startswith((b"{", b"[")) and any(map(is_json_object, lines))


def _decoded(text: bytes, form: FileForm) -> bytes:
    """Text as UTF-8."""
    if not form.encoding or codecs.lookup(form.encoding).name in ("utf-8", "utf-8-sig"):
        return text
    return text.decode(form.encoding).encode()
