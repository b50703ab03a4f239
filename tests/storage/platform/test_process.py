import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.platform.process import exclusive_lock, stop_on_signals

RESTARTED = """
import os, sys
from storage.platform.process import restart
print(os.getpid(), flush=True)
if not os.path.exists(sys.argv[1]):
    open(sys.argv[1], "w").close()
    restart()
"""


@pytest.fixture
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_sigterm_and_sigint_set_the_stop_event(number: signal.Signals) -> None:
    stop = stop_on_signals()
    assert not stop.is_set()
    os.kill(os.getpid(), number)
    assert stop.wait(30)


def test_a_lock_is_exclusive_until_it_is_closed(tmp_path: Path) -> None:
    first = exclusive_lock(tmp_path / "lock")
    assert first is not None
    assert exclusive_lock(tmp_path / "lock") is None
    first.close()
    second = exclusive_lock(tmp_path / "lock")
    assert second is not None
    second.close()


def test_a_lock_of_a_process_that_was_killed_is_free(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from storage.platform.process import *; "
        "lock = exclusive_lock(Path(sys.argv[1])); assert lock; os.kill(os.getpid(), 9)"
    )
    path = str(tmp_path / "lock")
    ended = subprocess.run([sys.executable, "-c", code, path], check=False, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    lock = exclusive_lock(tmp_path / "lock")
    assert lock is not None
    lock.close()


def test_a_restart_keeps_the_process_id_and_the_command_line(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", RESTARTED, str(tmp_path / "mark")],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    first, second = ended.stdout.split()
    assert first == second


LIMITED = """
import resource, sys
from storage.platform.process import raise_descriptor_limit
resource.setrlimit(resource.RLIMIT_NOFILE, (64, int(sys.argv[1])))
print(raise_descriptor_limit(), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_the_limit_of_descriptors_is_raised_to_what_the_user_may_have() -> None:
    command = [sys.executable, "-c", LIMITED, "200"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["200", "200", "200"]
