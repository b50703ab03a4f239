"""One sandbox process."""

import signal
import struct

import pyarrow as pa
import pytest

from storage.sandbox.frames import QueryRequest
from storage.sandbox.sandbox_pool import SandboxPool
from storage.sandbox.sandbox_process import SandboxFailed, _environment, _table

REQUEST = QueryRequest("SELECT 1 AS a", 10, 1 << 20, 60.0)


def test_a_sandbox_that_does_not_answer_is_killed_after_the_deadline_and_replaced(
    pool: SandboxPool,
) -> None:
    pool.run(REQUEST)
    (sandbox,) = pool._idle
    sandbox._process.send_signal(signal.SIGSTOP)
    with pytest.raises(SandboxFailed, match=r"stopped after 0\.1 s"):
        pool.run(QueryRequest("SELECT 1", 1, 1, 0.1))
    assert sandbox._process.poll() == -signal.SIGKILL
    assert pool.run(REQUEST).rows.to_pylist() == [{"a": 1}]
    assert sandbox not in pool._idle


def test_it_gets_no_secret_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOURSIGHT_SMTP_PASSWORD", "secret")
    monkeypatch.setenv("LD_PRELOAD", "/x.so")
    assert not {"HOURSIGHT_SMTP_PASSWORD", "LD_PRELOAD"} & _environment().keys()


@pytest.mark.parametrize("stream", [b"", b"garbage" * 100])
def test_bytes_that_are_not_rows_are_an_error_in_words(stream: bytes) -> None:
    with pytest.raises(SandboxFailed, match="ended the process"):
        _table(stream)


def test_rows_with_offsets_out_of_their_buffers_are_not_taken() -> None:
    sink = pa.BufferOutputStream()
    rows = pa.table({"a": ["abc"]})
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    stream, offsets = sink.getvalue().to_pybytes(), struct.pack("<2i", 0, 3) + b"abc"
    assert stream.count(offsets) == 1
    assert _table(stream) == rows
    with pytest.raises(SandboxFailed):
        _table(stream.replace(offsets, struct.pack("<2i", 0, 5_000_000) + b"abc"))
