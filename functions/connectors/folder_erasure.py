"""Erasure of a server from the files of watched folders: its records, and its name in reasons.

A record names a server if one of its values is the name: web-1 is neither web-10 nor web-1:9100.
"""

import csv
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from functions.connectors.files import FolderConnection
from functions.connectors.folder_files import open_for_writing
from functions.connectors.real_folder import DONE, REASON, REJECTED, RealFolder
from functions.connectors.source_file import parse_source_toml
from functions.engine.user_files import SOURCES
from functions.normalize.file_readers import BLOCK_BYTES, PARQUET_HEAD
from functions.normalize.strict_toml import SourceInvalid, decode_strict
from storage.config.folders import Folders
from storage.errors import HoursightError
from storage.ipc.decoding import InvalidJson, decode_json
from storage.lake.erasure import names_server, without_name
from storage.platform.trusted_files import NotTrusted

__all__ = ["FileErasure", "erase_in_folder", "watched_folders"]

DELIMITERS = ",;|\t"
MAX_LINE_BYTES = 16 << 20
UNSUITED = "it has records over several lines, or names it otherwise than as a value"


@dataclass(frozen=True, slots=True)
class FileErasure:
    """What became of a file that names a server: its records that went, or why it was left."""

    path: Path
    records: int = 0
    removed: bool = False
    left: str = ""


class _Unsuited(HoursightError):
    """The records of a file cannot be taken out one by one."""


def watched_folders(folders: Folders) -> tuple[list[RealFolder], list[FileErasure]]:
    """Return the folders that source files name, turned on or not, and the files not readable."""
    files = SOURCES.sources(folders) | SOURCES.turned_off(folders)
    paths, refused = [], []
    for source in files.values():
        if source.refusal:
            why = f"the folder of this source is not known ({source.refusal})"
            refused.append(FileErasure(Path(str(source.path)), left=why))
        try:
            raw = parse_source_toml(source.text)
            if raw.get("kind") == "files":
                connection = decode_strict(raw.get("connection", {}), FolderConnection)
                paths.append(folders.data / connection.folder)
        except SourceInvalid:
            continue  # such a source never ran
    return [RealFolder(path) for path in dict.fromkeys(paths)], refused


def erase_in_folder(folder: RealFolder, server: str, *, dry: bool) -> list[FileErasure]:
    """Take the records of a server out of a folder's files; with `dry` only say which there are.

    A file whose records all are of the server is removed. What waits in the folder itself is left,
    since its source still reads it.
    """
    results: list[FileErasure] = []
    for part in ("", DONE, REJECTED):
        try:
            results += _in_part(folder, part, server, dry)
        except FileNotFoundError:
            continue
        except (OSError, NotTrusted) as error:
            results.append(FileErasure(folder.path / part, left=f"it cannot be searched ({error})"))
        finally:
            folder.close()
    return results


def _in_part(folder: RealFolder, part: str, server: str, dry: bool) -> Iterator[FileErasure]:
    for name, status in sorted(folder.entries(part)):
        path = folder.path / part / name
        if name.startswith(".") or not stat.S_ISREG(status.st_mode):
            continue
        try:
            if part == REJECTED and name.endswith(REASON):
                _erase_reason(folder, name, server, dry)
                continue
            result = _in_file(folder, name, part, server, dry)
        except (NotTrusted, OSError, pa.ArrowException) as error:
            result = FileErasure(path, left=f"it cannot be searched ({error})")
        if result is not None:
            yield result


def _in_file(
    folder: RealFolder, name: str, part: str, server: str, dry: bool
) -> FileErasure | None:
    path = folder.path / part / name
    with folder.open(name, part) as file:
        columnar = file.read(len(PARQUET_HEAD)) == PARQUET_HEAD
        if not columnar and not _mentions(file, server):
            return None
        try:
            taken, left = (_taken_rows if columnar else _taken_lines)(file, server, None)
            if not taken:
                return None
            if not part:
                return FileErasure(path, taken, left="its source still reads it")
            if open_for_writing(folder, name, part):
                return FileErasure(path, taken, left="a program still writes to it")
            if not dry and left:
                with folder.replacement(name, part) as target:
                    (_taken_rows if columnar else _taken_lines)(file, server, target)
        except _Unsuited:
            return FileErasure(path, left=UNSUITED)
    if not dry and not left:
        folder.remove(name, part)
        if folder.stamp(name + REASON, part):
            folder.remove(name + REASON, part)
    return FileErasure(path, taken, removed=not left)


def _erase_reason(folder: RealFolder, name: str, server: str, dry: bool) -> None:
    """Replace the server's name in the reason of a rejection."""
    if dry or not folder.stamp(name, REJECTED):  # it went with its file
        return
    with folder.open(name, REJECTED) as file:
        text = file.read().decode(errors="replace")
    if names_server(text, server):
        with folder.replacement(name, REJECTED) as target:
            target.write(without_name(text, server).encode())


def _mentions(file: BinaryIO, server: str) -> bool:
    """Return True if a file has the bytes of the name, in UTF-8 or UTF-16."""
    forms = {server.encode(each) for each in ("utf-8", "utf-16-le", "utf-16-be")}
    forms.add(_as_json(server))
    file.seek(0)
    overlap = b""
    while block := file.read(BLOCK_BYTES):
        window = overlap + block
        if any(form in window for form in forms):
            return True
        overlap = window[-4 * max(map(len, forms)) :]
    return False


def _as_json(text: str) -> bytes:
    return text.encode("ascii", "backslashreplace").replace(b"\\x", b"\\u00")


def _taken_lines(file: BinaryIO, server: str, target: BinaryIO | None) -> tuple[int, int]:
    """Write the other lines to `target`; return the numbers of the server's and other records.

    Raises _Unsuited for a file whose records are not one a line.
    """
    file.seek(0)
    taken = left = headers = 0
    while line := file.readline(MAX_LINE_BYTES):
        text = line.decode(errors="replace").lstrip("\ufeff")
        if len(line) == MAX_LINE_BYTES or "\0" in text or text.count('"') % 2:
            raise _Unsuited
        if _line_names(text, server):
            taken += 1
            continue
        if names_server(text, server):
            raise _Unsuited
        headers += not (left or taken) and _is_header(text)
        left += bool(text.strip())
        if target is not None:
            target.write(line)
    return taken, left if left > headers else 0


def _is_header(text: str) -> bool:
    """Return True if a line has the names of columns: no value that begins like a number."""
    return not text.startswith("{") and not re.search(rf"(^|[{DELIMITERS}\"])\s*[-+.]?\d", text)


def _line_names(text: str, server: str) -> bool:
    """Return True if a value of a line of JSON or CSV is the name."""
    if text.startswith("{"):
        try:
            return _holds(decode_json(text.encode(), nan=True), server)
        except InvalidJson:
            return False
    return any(
        field.strip() == server
        for delimiter in DELIMITERS if delimiter in text
        for row in csv.reader([text], delimiter=delimiter) for field in row
    )  # fmt: skip


def _holds(value: Any, server: str) -> bool:
    if isinstance(value, dict):
        return any(_holds(each, server) for each in value.values())
    if isinstance(value, list):
        return any(_holds(each, server) for each in value)
    return isinstance(value, str) and value.strip() == server


def _taken_rows(file: BinaryIO, server: str, target: BinaryIO | None) -> tuple[int, int]:
    """Write the other rows of a Parquet file; return the numbers of the server's and others."""
    file.seek(0)
    rows = pq.ParquetFile(file)
    taken = left = 0
    writer = pq.ParquetWriter(target, rows.schema_arrow) if target else None
    for batch in rows.iter_batches():
        others = batch.filter(pc.invert(_rows_naming(batch, server)))
        taken, left = taken + batch.num_rows - others.num_rows, left + others.num_rows
        if writer is not None:
            writer.write_batch(others)
    if writer is not None:
        writer.close()
    return taken, left


def _rows_naming(batch: pa.RecordBatch, server: str) -> pa.Array:
    named = pa.array([False] * batch.num_rows, pa.bool_())
    for column in batch.columns:
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            same = pc.equal(pc.utf8_trim_whitespace(column.cast(kind)), server)
            named = pc.or_(named, pc.fill_null(same, False))
    return named
