"""Messages of a sandbox."""

import io
import os
import threading
from functools import partial

import pyarrow as pa

from storage.sandbox.frames import (
    FRAME,
    ROWS,
    QueryRequest,
    RowsSink,
    read_request,
    request_bytes,
    write_frame,
)

REQUEST = QueryRequest("SELECT 'ä'" + " " * 100_000, 10, 20, 1.5)


def test_a_request_is_read_whole_and_the_end_is_none() -> None:
    read, write = os.pipe()
    body = request_bytes(REQUEST)

    def send() -> None:
        with os.fdopen(write, "wb") as pipe:
            pipe.write(body + body[:9])

    thread = threading.Thread(target=send)
    thread.start()
    assert read_request(read) == REQUEST
    assert read_request(read) is None
    thread.join()
    os.close(read)


def test_a_frame_is_written_whole() -> None:
    read, write = os.pipe()
    body = b"x" * 300_000
    thread = threading.Thread(target=partial(write_frame, write, ROWS, body))
    thread.start()
    with os.fdopen(read, "rb") as pipe:
        assert FRAME.unpack(pipe.read(FRAME.size)) == (ROWS, len(body))
        assert pipe.read(len(body)) == body
    thread.join()
    os.close(write)


def test_rows_are_an_arrow_stream_in_frames() -> None:
    read, write = os.pipe()
    rows = pa.table({"a": [1, 2, 3]})
    with io.BufferedWriter(RowsSink(write)) as sink, pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write_table(rows)
    os.close(write)
    pieces = []
    with os.fdopen(read, "rb") as pipe:
        while header := pipe.read(FRAME.size):
            pieces.append(pipe.read(FRAME.unpack(header)[1]))
    assert pa.ipc.open_stream(b"".join(pieces)).read_all() == rows
