"""The limits that docs/monitoring.md names are those of the code."""

from pathlib import Path

import pytest

from functions.engine import call_queue
from storage.platform.repeated_lines import MAX_LINES, WINDOW_S
from web import app, connections, live, uploads
from web.api.ingest_api import MAX_IN_FLIGHT, MAX_WAIT_S

MONITORING = " ".join((Path(__file__).parents[1] / "docs" / "monitoring.md").read_text().split())


@pytest.mark.parametrize(
    "limit",
    [
        f"at most {connections.MAX_CONNECTIONS} connections",
        f"{connections.HEAD_S:g} s for the head of a request",
        f"{connections.WINDOW_S:g} s for every {connections.WINDOW_BYTES // 1000} kB of a response",
        f"{connections.MAX_UNREAD_BYTES >> 20} MiB of responses",
        f"{uploads.WINDOW_S:g} s for every {uploads.WINDOW_BYTES // 1000} kB of a body",
        f"{uploads.MAX_PER_SENDER} unfinished bodies of one address, {uploads.MAX_UPLOADS} of all",
        f"{live.MAX_STREAMS} live streams",
        f"{MAX_IN_FLIGHT} pushes at once, {app.MAX_EXPORTS} exports",
        f"pushes for {MAX_WAIT_S:g} s, exports for {app.MAX_EXPORT_WAIT_S:g} s",
        f"{call_queue.MAX_RUNNING} calls of functions at once",
        f"{call_queue.MAX_WAITING} wait, for {call_queue.MAX_WAIT_S:g} s",
        f"more than {MAX_LINES} times in {WINDOW_S:g} seconds",
    ],
)
def test_a_limit_that_is_named_is_that_of_the_code(limit: str) -> None:
    assert limit in MONITORING
