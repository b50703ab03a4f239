"""Segment: a Parquet file of rows for one table, with its provenance and cursor as metadata."""

import hashlib
import json
import logging
import os
import re
import time
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from storage.config.folders import Folders
from storage.config.settings import schema_of
from storage.errors import HoursightError
from storage.platform.durability import disk_problem, fsync_directory
from storage.platform.error_text import bounded_list
from storage.platform.failpoints import failpoint

__all__ = [
    "Provenance", "SegmentNotWritten", "SegmentRefused", "newest_cursor", "open_segment",
    "provenance_of", "write", "write_row",
]  # fmt: skip

log = logging.getLogger(__name__)

METADATA_KEY = b"hoursight"
VERSION = 1
STAMP = "%Y%m%dT%H%M%S.%f"  # of the time of creation, with which the name begins
# Of a segment's name; a file that someone else names has none.
NAMED_DIGEST = re.compile(r"\.([0-9a-f]{16})\.parquet$")
LIST = pa.list_(pa.float32())


class SegmentNotWritten(HoursightError, OSError):
    """Rows could not be written to the inbox; no part of them remains there."""

    retryable = True

    @classmethod
    def because_of(cls, error: OSError, place: Path, what: str) -> "SegmentNotWritten":
        """The error for a failed write at `place`, with its cause and remedy where known."""
        known = disk_problem(place, error)
        return cls(f"{what}: {known.message if known else error}", known.remedy if known else None)


class SegmentRefused(HoursightError):
    """A file of the inbox is rejected whole; the message says why."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Provenance of a segment's rows. A batch is committed once, however often its id arrives."""

    table: str
    function: str
    created_at: datetime
    batch_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    run_id: str | None = None  # as in the table `runs`
    code_hash: str | None = None
    window_key: str | None = None
    cursor: str | None = None
    input_snapshot: int | None = None
    model: str | None = None
    # Rows and values that the function itself left out, and the reasons.
    refused: int = 0
    reasons: tuple[str, ...] = ()
    clamped: int = 0  # values stored as the bound of their metric

    def encode(self) -> bytes:
        """The JSON for the file's metadata."""
        fields = asdict(self) | {
            "created_at": self.created_at.isoformat(),
            "version": VERSION,
            "reasons": bounded_list(self.reasons),
        }
        return json.dumps(fields).encode()

    @classmethod
    def decode(cls, text: bytes) -> "Provenance":
        """The reverse of `encode`; SegmentRefused names what does not fit."""
        try:
            fields = json.loads(text)
            version = fields.pop("version")
            if version != VERSION:
                raise SegmentRefused(
                    f"segment of version {version!r}; this program reads version {VERSION}"
                )
            created_at = datetime.fromisoformat(fields["created_at"])
            if created_at.tzinfo is None:
                raise SegmentRefused(f"its created_at {created_at} has no time zone")
            reasons = tuple(fields.get("reasons", ()))
            return cls(**fields | {"created_at": created_at, "reasons": reasons})
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise SegmentRefused(f"its hoursight metadata cannot be read: {error}") from error


def write(folders: Folders, rows: pa.Table, provenance: Provenance) -> Path:
    """Write rows to the inbox as one segment, atomically and fsynced; returns its path.

    Columns that `rows` lacks become NULL. Raises ValueError for an unknown column, pyarrow's error
    for values of another type, and SegmentNotWritten when the disk fails.
    """
    shaped = _shaped(rows, schema_of(folders).table(provenance.table).arrow)
    shaped = shaped.replace_schema_metadata({METADATA_KEY: provenance.encode()})
    content = _encoded(shaped)
    stamp = provenance.created_at.strftime(STAMP)
    stem = f"{stamp}-{provenance.function}-{provenance.table}-{uuid.uuid4().hex[:8]}"
    name = f"{stem}.{_digest(content)}.parquet"
    partial = folders.inbox / f"{name}.partial"
    final, began = folders.inbox / name, time.perf_counter()
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            failpoint("segment written")
            os.fsync(file.fileno())
        failpoint("segment synced")
        partial.rename(final)
        failpoint("segment renamed")
        fsync_directory(folders.inbox)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        what = f"{shaped.num_rows} rows were not taken"
        log.debug("segment %s not written: %s", name, error)
        raise SegmentNotWritten.because_of(error, folders.inbox, what) from error
    _log_written(final, provenance, shaped.num_rows, time.perf_counter() - began)
    return final


def _log_written(path: Path, provenance: Provenance, rows: int, seconds: float) -> None:
    if log.isEnabledFor(logging.DEBUG):
        size = 0
        with suppress(FileNotFoundError):  # the writer was faster
            size = path.stat().st_size
        log.debug(
            "segment written: %s, table %s, batch %s, %d rows, %d bytes, %.1f ms, cursor %.200s",
            path.name, provenance.table, provenance.batch_id, rows, size, 1000 * seconds,
            provenance.cursor,
        )  # fmt: skip


def write_row(folders: Folders, table: str, function: str, row: dict[str, Any]) -> Path:
    """Write a segment of one row, created at its `ts`; raises SegmentNotWritten."""
    rows = pa.Table.from_pylist([row], schema_of(folders).table(table).arrow)
    provenance = Provenance(table=table, function=function, created_at=row["ts"])
    return write(folders, rows, provenance)


def provenance_of(path: Path) -> Provenance:
    """The provenance of a segment; raises SegmentRefused if the file is not a sound segment."""
    return open_segment(path)[0]


def open_segment(path: Path) -> tuple[Provenance, pq.ParquetFile]:
    """A segment's provenance and its rows, still to be decoded.

    Raises SegmentRefused if the file is not a segment, or is not as it was written: the name of a
    segment ends with the hash of its content.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SegmentRefused(f"cannot be read: {error.strerror}") from error
    expected = NAMED_DIGEST.search(path.name)
    if expected and expected[1] != _digest(content):
        raise SegmentRefused(
            "truncated or damaged: its content does not have the hash that ends its name, so none "
            "of its values is taken; send the rows again"
        )
    try:
        parquet = pq.ParquetFile(pa.BufferReader(content))
    except (pa.ArrowException, OSError) as error:
        raise SegmentRefused(f"truncated, or not a Parquet file: {error}") from error
    metadata = parquet.schema_arrow.metadata or {}
    if METADATA_KEY not in metadata:
        raise SegmentRefused(
            "not a segment: the Parquet file has no hoursight metadata with its table and function"
        )
    return Provenance.decode(metadata[METADATA_KEY]), parquet


def newest_cursor(folders: Folders, function: str, now: datetime) -> str | None:
    """The cursor of the function's newest segment in the inbox; None if there is none.

    Segments from when this host's clock was ahead count only where there are no others.
    """
    latest = now.strftime(STAMP)
    names = (path.name for path in folders.inbox.glob(f"*-{function}-*.parquet"))
    for name in sorted(names, key=lambda name: (name[: len(latest)] <= latest, name), reverse=True):
        path = folders.inbox / name
        try:
            provenance = provenance_of(path)
        except SegmentRefused:
            continue
        if provenance.function == function and provenance.cursor is not None:
            return provenance.cursor
    return None


def _digest(content: bytes | memoryview) -> str:
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def _encoded(rows: pa.Table) -> memoryview:
    """Encode as Parquet for speed, because a segment is read only once.

    Measurements rarely repeat, so only text is dictionary-encoded; only lists are worth zstd.
    """
    texts = [f.name for f in rows.schema if pa.types.is_string(f.type)]
    lists = [f"{f.name}.list.element" for f in rows.schema if f.type == LIST]
    sink = pa.BufferOutputStream()
    pq.write_table(
        rows, sink, write_statistics=False, use_dictionary=texts,
        compression="zstd" if lists else "lz4",
        column_encoding=dict.fromkeys(lists, "BYTE_STREAM_SPLIT") or None,
    )  # fmt: skip
    return memoryview(sink.getvalue())


def _shaped(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    unknown = set(rows.column_names) - set(schema.names)
    if unknown:
        raise ValueError(
            f"no column {', '.join(sorted(unknown))} (expected {', '.join(schema.names)})"
        )
    columns = [
        rows[f.name].cast(f.type)
        if f.name in rows.column_names
        else pa.nulls(rows.num_rows, f.type)
        for f in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)
