"""Checks of the lake's files: is each there, readable, whole, and as it was written?"""

import errno
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from storage.lake.attach import SQL
from storage.lake.hash_manifest import FileHash, hash_of
from storage.model.schema import Schema

__all__ = [
    "FileDamage", "LakeFile", "Run", "check_content", "check_decoding", "check_presence",
    "damage_of", "held_rows", "lake_files",
]  # fmt: skip

MAGIC = b"PAR1"
# Others, such as too many open files or a network disk that does not answer, pass.
OF_THIS_FILE = (
    errno.EIO, errno.EACCES, errno.EPERM, errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.EUCLEAN,
)  # fmt: skip


class Rows(Protocol):
    """The result of a statement, of DuckDB or of SQLite."""

    def fetchall(self) -> list[Any]:
        """All rows."""


Run = Callable[..., Rows]


@dataclass(frozen=True, slots=True)
class LakeFile:
    """A file that the catalog names; `path` is relative to the folder of the lake's files.

    A mask names rows of the data file `data_file_id` that were deleted.
    """

    data_file_id: int
    table_id: int
    table: str
    path: str
    bytes: int
    rows: int
    is_mask: bool = False

    @property
    def name(self) -> str:
        """The file's name without its folders; it is unique in a lake."""
        return PurePosixPath(self.path).name


@dataclass(frozen=True, slots=True)
class FileDamage:
    """What is wrong with a file of the lake; `why` continues the file's name in a sentence."""

    file: LakeFile
    kind: Literal["missing", "unreadable", "truncated", "damaged"]
    why: str

    def __str__(self) -> str:
        return f"{self.file.path} {self.why}"


def lake_files(run: Run) -> list[LakeFile]:
    """The files of the newest snapshot, in the order of their paths; `run` executes SQL."""
    rows: list[tuple[Any, ...]] = run((SQL / "lake_files.sql").read_text()).fetchall()
    return [LakeFile(*row) for row in rows]


def held_rows(run: Run, file: LakeFile, schema: Schema) -> str:
    """The servers and times of a data file's rows, as far as the catalog knows them."""
    rows = run((SQL / "file_spans.sql").read_text(), id=file.data_file_id).fetchall()
    spans = {name: (first, last) for name, first, last in rows if first is not None}
    words = []
    if "server" in spans:
        first, last = spans["server"]
        words.append(f"server {first}" if first == last else f"servers {first} to {last}")
    time = schema.table(file.table).time
    if time in spans:
        words.append("{} to {}".format(*spans[time]))
    return ", ".join(words) or "nothing is known of them"


def check_presence(folder: Path, file: LakeFile) -> FileDamage | None:
    """Check what takes no reading of the whole file; None if nothing is wrong.

    Raises OSError for what is not wrong with this file alone.
    """
    try:
        handle = os.open(folder / file.path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            return _check_ends(handle, file)
        finally:
            os.close(handle)
    except OSError as error:
        return damage_of(file, error)


def check_content(
    folder: Path, file: LakeFile, expected: FileHash | None, *, from_disk: bool = False
) -> FileDamage | None:
    """Check the whole file; of one whose hash is not known only what `check_presence` does.

    `from_disk` reads it from the disk even when it is in memory.
    """
    problem = check_presence(folder, file)
    if problem or expected is None:
        return problem
    try:
        actual = hash_of(folder / file.path, from_disk=from_disk)
    except OSError as error:
        return damage_of(file, error)
    if actual == expected:
        return None
    return FileDamage(file, "damaged", "is damaged: its content is not what was written")


def check_decoding(folder: Path, file: LakeFile) -> FileDamage | None:
    """Decode the whole file, for one whose hash is not known."""
    try:
        for _ in pq.ParquetFile(folder / file.path).iter_batches(use_threads=False):
            pass
    except (pa.ArrowException, OSError) as error:
        return FileDamage(file, "damaged", f"is damaged: {error}")
    return None


def _check_ends(handle: int, file: LakeFile) -> FileDamage | None:
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        return FileDamage(file, "unreadable", "cannot be read: it is not a regular file")
    if status.st_size != file.bytes:
        sizes = f"it has {status.st_size:,} bytes (expected {file.bytes:,})"
        if status.st_size < file.bytes:
            return FileDamage(file, "truncated", f"is truncated: {sizes}")
        return FileDamage(file, "damaged", f"is damaged: {sizes}")
    ends = os.pread(handle, len(MAGIC), 0), os.pread(handle, len(MAGIC), file.bytes - len(MAGIC))
    if ends != (MAGIC, MAGIC):
        return FileDamage(file, "damaged", "is damaged: it is not a Parquet file any more")
    return None


def damage_of(file: LakeFile, error: OSError) -> FileDamage:
    """The damage that an error shows; raises one that is not of this file alone."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return FileDamage(file, "missing", "is missing")
    if error.errno not in OF_THIS_FILE:
        raise error
    return FileDamage(file, "unreadable", f"cannot be read: {error.strerror}")
