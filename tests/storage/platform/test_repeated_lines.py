"""The limit on repeated log lines, and the count of those left out."""

import io
import logging
import threading
from collections.abc import Iterator

import pytest

from storage.platform.repeated_lines import RepeatLimit

log = logging.getLogger("tests.repeated")


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """The output of `log`."""
    before, handlers, text = log.level, list(log.handlers), io.StringIO()
    log.setLevel(logging.DEBUG)
    log.propagate = False
    yield text
    log.handlers[:] = handlers
    log.setLevel(before)
    log.propagate = True


def limited(stream: io.StringIO, window_s: float = 3600) -> RepeatLimit:
    handler = logging.StreamHandler(stream)
    limit = RepeatLimit(handler, 3, window_s)
    handler.addFilter(limit)
    log.addHandler(handler)
    return limit


def test_lines_of_one_place_beyond_the_limit_are_counted_and_others_are_written(
    stream: io.StringIO,
) -> None:
    limit = limited(stream)
    for number in range(1000):
        log.warning("connection %d refused", number)
        if number % 500 == 0:
            log.warning("another")
    limit.report()
    assert stream.getvalue().splitlines() == [
        "connection 0 refused", "another", "connection 1 refused", "connection 2 refused",
        "another",
        "997 lines like this were left out within 3600 s, the last one: connection 999 refused",
    ]  # fmt: skip


class Written(io.StringIO):
    """A stream that says when something was written."""

    def __init__(self) -> None:
        super().__init__()
        self.event = threading.Event()

    def flush(self) -> None:
        self.event.set()


@pytest.mark.usefixtures("stream")
def test_the_count_is_written_although_nothing_else_is_logged() -> None:
    written = Written()
    limit = limited(written, 0.01)
    for _ in range(5):
        record = log.makeRecord(log.name, logging.ERROR, "f", 1, "x", (), None)
        record.created = 0
        limit.filter(record)
    assert written.event.wait(30)
    assert "2 lines like this were left out within 0.01 s, the last one: x" in written.getvalue()


def test_a_new_window_begins_with_the_count_of_the_last_one(stream: io.StringIO) -> None:
    limit = limited(stream, 10)
    records = [log.makeRecord(log.name, logging.INFO, "f", 1, "x", (), None) for _ in range(6)]
    for record, created in zip(records, (0, 1, 2, 3, 4, 10.5), strict=True):
        record.created = created
        if limit.filter(record):
            limit._handler.emit(record)
    assert stream.getvalue().splitlines() == [
        "x", "x", "x", "2 lines like this were left out within 10 s, the last one: x", "x",
    ]  # fmt: skip


def test_debug_has_no_limit(stream: io.StringIO) -> None:
    limited(stream)
    for number in range(10):
        log.debug("%d", number)
    assert len(stream.getvalue().splitlines()) == 10
