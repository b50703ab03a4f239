"""What a sandbox says about queries that fail; the queries themselves are in test_sandbox_pool."""

import os

import duckdb
import pyarrow as pa
import pytest

from storage.query.read_only import StatementRefused
from storage.sandbox.caged_lake import QueryStopped, _send, failure_of
from storage.sandbox.frames import QueryRequest

REQUEST = QueryRequest("SELECT 1", 5, 1000, 2.5)


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (duckdb.InterruptException("INTERRUPT"), "deadline", "stopped after 2.5 s"),
        (duckdb.OutOfMemoryException("x"), "memory", "more memory"),
        (MemoryError(), "memory", "more memory"),
        (QueryStopped("too large", "shorten"), "size", "too large"),
        (StatementRefused("COPY", "it writes"), "refused", "it writes"),
        (duckdb.BinderException("Binder Error: no such column"), "failed", "no such column"),
    ],
)
def test_a_failure_has_a_kind_and_words(error: Exception, kind: str, words: str) -> None:
    failure = failure_of(error, REQUEST)
    assert failure.kind == kind
    assert words in failure.message


def test_rows_end_before_a_limit_is_passed() -> None:
    read, write = os.pipe()
    rows = pa.table({"a": list(range(8))})
    assert _send(rows.to_reader(4), REQUEST, write)
    assert not _send(rows.slice(0, 5).to_reader(4), REQUEST, write)
    with pytest.raises(QueryStopped, match="first rows"):
        _send(pa.table({"a": ["x" * 2000]}).to_reader(4), REQUEST, write)
    os.close(read)
    os.close(write)
