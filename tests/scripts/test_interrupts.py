"""`hoursight sql` and signals, as real processes beside others that keep the CPUs busy."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from scripts.interrupts import GRACE_S
from tests.conftest import LakeFixture

MANY = "(SELECT range AS x FROM range(1_000_000))"
FOR_HOURS = f"SELECT sum(sin(a.x) * cos(b.x)) AS s FROM {MANY} AS a, {MANY} AS b"
# Each of these takes the planner or the fetch its time.
SUMS = ", ".join(f"sum(sin(a.x + {i})) AS s{i}" for i in range(2_000))
MANY_COLUMNS = f"SELECT {SUMS} FROM {MANY} AS a, {MANY} AS b"
MANY_ROWS = "SELECT range AS x, range::VARCHAR AS y FROM range(2_000_000)"
WITHIN_S = 60.0
# While the interpreter starts up it loses a signal at times, whatever it is to run then.
COMMAND = """
import sys, hoursight
try:
    print("started", flush=True)
    hoursight.main(["sql", *sys.argv[1:]])
except KeyboardInterrupt:
    sys.exit(130)
"""

Process = subprocess.Popen[bytes]


def start(house: LakeFixture, *arguments: str, code: str = COMMAND) -> Process:
    """A process that has begun to run `code`."""
    # Who runs the tests in the background has SIGINT ignored, and children inherit that.
    command = ["env", "--default-signal=INT,TERM", sys.executable, "-c", code]
    process = subprocess.Popen(
        [*command, "--data", str(house.folders.data), *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout.readline() == b"started\n"
    return process


def ended(processes: Sequence[Process]) -> list[tuple[int, bytes]]:
    """The exit code and the errors of each, in time; what still runs then is killed."""
    give_up = time.monotonic() + WITHIN_S
    try:
        errors = [p.communicate(timeout=max(0.1, give_up - time.monotonic()))[1] for p in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    return [(p.returncode, said) for p, said in zip(processes, errors, strict=True)]


@pytest.fixture(autouse=True)
def busy() -> Iterator[None]:
    """Two processes that never rest, less those of other tests that run beside."""
    missing = max(0, 2 - int(os.getloadavg()[0]))
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(missing)]
    yield
    for loop in loops:
        loop.kill()
        loop.wait()


@pytest.mark.parametrize(
    "statement", [FOR_HOURS, MANY_COLUMNS, MANY_ROWS], ids=["running", "planning", "fetching"]
)
def test_ctrl_c_ends_a_query_whenever_it_comes(house: LakeFixture, statement: str) -> None:
    processes = []
    for delay_s in (0.0, 0.1, 0.3, 0.6, 1.0, 1.5, 2.2, 3.0, 4.0):
        process = start(house, statement, "--format", "csv")
        processes.append(process)
        select.select([process.stderr], [], [], delay_s)
        process.send_signal(signal.SIGINT)
    assert ended(processes) == [(130, b"")] * len(processes)


def test_ctrl_c_ends_a_command_whose_reader_has_stopped_reading(house: LakeFixture) -> None:
    process = start(house, MANY_ROWS, "--format", "csv")
    assert process.stdout.read(10) == b'"x","y"\n0,'
    process.send_signal(signal.SIGINT)
    assert process.wait(WITHIN_S) == 130
    ended([process])


@pytest.fixture
def stuck(house: LakeFixture, tmp_path: Path) -> Iterator[Process]:
    """A process whose query waits for a file that the kernel does not let it read."""
    fifo = tmp_path / "never.csv"
    os.mkfifo(fifo)
    process = start(house, f"FROM '{fifo}'")
    writer = None
    give_up = time.monotonic() + WITHIN_S
    while writer is None and time.monotonic() < give_up:
        writer = _opened_by_reader(fifo)
        select.select([], [], [], 0.02)
    yield process
    process.kill()
    ended([process])
    assert writer is not None
    os.close(writer)


def _opened_by_reader(fifo: Path) -> int | None:
    try:
        return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return None


def test_ctrl_c_ends_a_process_whose_query_cannot_be_interrupted(stuck: Process) -> None:
    stuck.send_signal(signal.SIGINT)
    assert stuck.wait(WITHIN_S) == 130


def test_a_second_ctrl_c_ends_the_process_at_once(stuck: Process) -> None:
    began = time.monotonic()
    while stuck.poll() is None and time.monotonic() - began < WITHIN_S:
        stuck.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            stuck.wait(0.2)
    assert stuck.returncode == 130
    assert time.monotonic() - began < GRACE_S


NOTEBOOK = """
import sys, hoursight
lake = hoursight.connect(sys.argv[2])
try:
    print("started", flush=True)
    lake.sql(sys.argv[3])
except KeyboardInterrupt:
    print(lake.sql("SELECT 7 AS n")["n"].to_pylist())
"""


@pytest.mark.parametrize("delay_s", [0.0, 0.05, 0.3, 1.5])
def test_ctrl_c_ends_a_query_in_a_notebook(house: LakeFixture, delay_s: float) -> None:
    process = start(house, FOR_HOURS, code=NOTEBOOK)
    select.select([process.stderr], [], [], delay_s)
    process.send_signal(signal.SIGINT)
    try:
        assert process.communicate(timeout=WITHIN_S) == (b"[7]\n", b"")
    finally:
        process.kill()


def test_sigterm_ends_a_query(house: LakeFixture) -> None:
    process = start(house, FOR_HOURS)
    select.select([process.stderr], [], [], 3.0)
    process.send_signal(signal.SIGTERM)
    code, _ = ended([process])[0]
    assert code in {128 + signal.SIGTERM, -signal.SIGTERM}  # the second: while modules load
