"""Memory and CPU time of processes, with real processes."""

import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

from storage.platform.process_usage import started_at, usage_of

CHILD = "import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}])"
HOLDS_60_MB = (
    "import sys; n = 60 << 20; data = b'x' * n; print('ready', flush=True); sys.stdin.read()"
)
BURNS_CPU = "import time\nwhile time.process_time() < 0.5: pass"


def python(code: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


def end(process: "subprocess.Popen[bytes]") -> None:
    process.communicate(timeout=60)


def test_memory_of_descendants_is_counted() -> None:
    parent = python(CHILD.format(code=HOLDS_60_MB))
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"ready\n"
    usage = usage_of(parent.pid)
    end(parent)
    assert usage is not None
    assert usage.resident_bytes > 60 << 20


def test_cpu_time_of_a_child_that_has_ended_is_counted() -> None:
    before = usage_of(os.getpid())
    end(python(BURNS_CPU))
    after = usage_of(os.getpid())
    assert before is not None
    assert after is not None
    assert after.cpu_s - before.cpu_s >= 0.4


def test_a_process_that_has_ended_has_no_usage_and_no_start() -> None:
    ended = python("pass")
    end(ended)
    assert usage_of(ended.pid) is None
    assert started_at(ended.pid) is None


def test_a_zombie_has_no_usage() -> None:
    zombie = python("pass")
    assert zombie.stdout is not None
    assert zombie.stdout.read() == b""  # it has closed its output and is not waited for yet
    deadline = time.monotonic() + 60
    while usage_of(zombie.pid) is not None and time.monotonic() < deadline:
        os.sched_yield()
    assert usage_of(zombie.pid) is None
    end(zombie)


def test_the_start_of_a_process_is_a_time_of_the_clock() -> None:
    process = python("import sys; sys.stdin.read()")
    started = started_at(process.pid)
    end(process)
    assert started is not None
    assert abs(datetime.now(UTC) - started) < timedelta(minutes=1)
