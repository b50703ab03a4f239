"""The trace of used keys and refused requests."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar

from storage.config.folders import Folders
from storage.config.key_usage import read_key_usage
from tests.conftest import NOW
from web.access_trace import MAX_LINES, AccessTrace, address_of

REFUSALS = "hoursight_refused_requests_total"


@pytest.fixture
def trace(tmp_path: Path) -> AccessTrace:
    return AccessTrace(Folders.at(tmp_path))


@pytest.mark.parametrize(
    ("client", "headers", "address"),
    [
        (("10.0.0.5", 1), [], "10.0.0.5"),
        (("127.0.0.1", 1), [(b"x-forwarded-for", b"203.0.113.7")], "203.0.113.7 by 127.0.0.1"),
        (("127.0.0.1", 1), [(b"x-forwarded-for", b"\x1b[31m\xff")], "127.0.0.1"),
        (("127.0.0.1", 1), [(b"x-forwarded-for", b"1" * 999)], "127.0.0.1"),
        (None, [], "an unknown address"),
    ],
)
def test_an_address_is_that_of_the_connection_and_what_a_proxy_states(
    client: Any, headers: Any, address: str
) -> None:
    assert address_of({"client": client, "headers": headers}) == address


def test_a_sender_in_a_loop_costs_a_line_a_minute(
    trace: AccessTrace, caplog: pytest.LogCaptureFixture
) -> None:
    for second in range(121):
        trace.refused("no_key", "10.0.0.5", "GET /", NOW + timedelta(seconds=second))
    assert [record.message for record in caplog.records] == [
        "refused from 10.0.0.5: GET /",
        "refused from 10.0.0.5: GET / (59 more since the last line)",
        "refused from 10.0.0.5: GET / (59 more since the last line)",
    ]
    assert trace.counters()[REFUSALS] == {("no_key",): 121}


def test_what_was_sent_is_one_printable_line(
    trace: AccessTrace, caplog: pytest.LogCaptureFixture
) -> None:
    trace.refused("no_key", "10.0.0.5", "GET /\x1b[31m\n\u202e" + "x" * 999, NOW)
    (record,) = caplog.records
    assert record.message.startswith(r"refused from 10.0.0.5: GET /\x1b[31m\n\u202exxx")
    assert len(record.message) < 300


@pytest.mark.parametrize(
    ("address", "lines"), [("10.0.0.{}", MAX_LINES), ("10.0.0.{} by 127.0.0.1", 1)]
)
def test_many_addresses_cost_a_bounded_number_of_lines(
    trace: AccessTrace, caplog: pytest.LogCaptureFixture, address: str, lines: int
) -> None:
    for number in range(MAX_LINES + 50):
        trace.refused("no_key", address.format(number), "GET /", NOW)
    assert len(caplog.records) == lines
    trace.refused("no_key", "10.9.9.9", "GET /", NOW + timedelta(minutes=2))
    assert len(caplog.records) == lines + 1
    assert trace.counters()[REFUSALS] == {("no_key",): MAX_LINES + 51}


def test_a_folder_that_cannot_be_written_is_reported_once_and_nothing_is_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folders = Folders.at(tmp_path / "var")
    trace = AccessTrace(folders)

    async def test() -> None:
        trace.refused("scope", "10.0.0.5", "GET /", NOW)
        await trace._save()
        await trace._save()
        folders.data.mkdir()
        async with trace.saving(Litestar()):
            pass

    asyncio.run(test())
    assert caplog.text.count("cannot be recorded") == 1
    assert read_key_usage(folders).refused["scope"].requests == 1
