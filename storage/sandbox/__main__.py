"""A sandbox: `python -m storage.sandbox DATA FILES` answers statements from its standard input.

FILES is the folder of the lake's Parquet files. Its standard output takes frames. It ends when its
input does.
"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from storage.errors import HoursightError
from storage.sandbox.cage import close_files, close_system, limit_cpu, limit_memory
from storage.sandbox.frames import (
    END,
    FAILED,
    READY,
    Failure,
    QueryRequest,
    read_request,
    write_frame,
)
from storage.sandbox.lake_paths import lake_paths

if TYPE_CHECKING:  # the engine is loaded inside the cage
    from storage.sandbox.caged_lake import CagedLake

MEMORY_BYTES = 640 << 20
# CPU time beyond the deadline: that of writing the rows.
CPU_MARGIN_S = 2.0


def main(data: str, files: str) -> None:
    """Answer until the input ends."""
    replies = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a library prints is not a reply
    try:
        close_system()
        lake = _open(Path(data), Path(files))
    except HoursightError as error:
        failure = Failure("unusable", error.message, error.remedy)
        write_frame(replies, FAILED, msgspec.json.encode(failure))
        return
    write_frame(replies, READY)
    while (request := read_request(0)) is not None:
        limit_cpu(request.deadline_s + CPU_MARGIN_S)
        _answer(lake, request, replies)


def _open(data: Path, files: Path) -> "CagedLake":
    """Load the engine, close all files but the lake's, and attach it. Raises HoursightError."""
    import duckdb

    from storage.config.folders import Folders
    from storage.errors import LakeUnreadable
    from storage.lake.catalog import LakeLocation, SqliteCatalog
    from storage.sandbox.caged_lake import ENGINE_MEMORY, CagedLake, load_engine

    folders = Folders(data)
    location = LakeLocation(SqliteCatalog(folders.catalog), files, ENGINE_MEMORY)
    connection = load_engine(location)
    limit_memory(MEMORY_BYTES)
    close_files([files, *lake_paths(folders)], closed=Path(sys.executable))
    try:
        return CagedLake(connection, folders, location)
    except duckdb.Error as error:
        raise LakeUnreadable(f"the lake cannot be attached: {error}") from error


def _answer(lake: "CagedLake", request: QueryRequest, replies: int) -> None:
    import duckdb
    import pyarrow as pa

    from storage.sandbox.caged_lake import failure_of

    try:
        ended = lake.answer(request, replies)
    except (duckdb.Error, HoursightError, MemoryError, pa.ArrowException) as error:
        failure = failure_of(error, request)
        write_frame(replies, FAILED, msgspec.json.encode(failure))
    else:
        write_frame(replies, END, msgspec.json.encode(ended))


if __name__ == "__main__":
    main(*sys.argv[1:])
