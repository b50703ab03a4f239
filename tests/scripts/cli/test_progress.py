"""`hoursight sql` in a terminal, as a user has it before them."""

import os
import pty
import signal
import subprocess
import sys
from contextlib import ExitStack, suppress

from tests.conftest import LakeFixture

WIPED = b"\x1b[?25h\r\x1b[1A\x1b[2K"  # the cursor is shown again, the bar is not
LONG = (
    "SELECT sum(sin(a.x) * cos(b.x)) AS s FROM (SELECT range AS x FROM range(1_000_000)) AS a, "
    "(SELECT range AS x FROM range(1_000_000)) AS b"
)


def test_a_long_query_shows_a_bar_and_ends_with_ctrl_c(house: LakeFixture) -> None:
    house.one("SELECT 1")  # the first reader makes the lock that readers share
    before = sorted(house.folders.data.rglob("*"))
    mine, theirs = pty.openpty()
    # A runner in the background has SIGINT ignored, and children inherit that.
    command = ["env", "--default-signal=INT", sys.executable, "-m", "hoursight", "sql"]
    with ExitStack() as cleanup:  # what a failure leaves open would fail a later test too
        cleanup.callback(os.close, mine)
        process = cleanup.enter_context(subprocess.Popen(
            [*command, "--data", str(house.folders.data), LONG],
            stdout=subprocess.PIPE, stderr=theirs, stdin=subprocess.DEVNULL,
            env=os.environ | {"TERM": "xterm", "COLUMNS": "80"},
        ))  # fmt: skip
        cleanup.callback(process.kill)
        os.close(theirs)
        said = b""
        while b"Reading" not in said:
            said += os.read(mine, 4096)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=30)
        with suppress(OSError):  # the other end is closed
            while more := os.read(mine, 4096):
                said += more
    assert (process.returncode, out) == (130, b"")
    assert b"Traceback" not in said
    assert WIPED in said
    assert sorted(house.folders.data.rglob("*")) == before
