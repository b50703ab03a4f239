import os
import signal
import subprocess
import sys

from storage.platform.process import PARENT_DEATH, with_parent_death_signal

# A parent that starts a child with the launcher, prints its pid, and is killed.
PARENT = """
import signal, subprocess, sys
from storage.platform.process import with_parent_death_signal
child = subprocess.Popen(with_parent_death_signal(
    [sys.executable, "-c", "import time; print('ready', flush=True); time.sleep(300)"],
    signal.SIGTERM), stdout=subprocess.PIPE, text=True)
child.stdout.readline()
print(child.pid, flush=True)
sys.stdin.read()
"""


def launch(parent: int, *command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-I", "-S", str(PARENT_DEATH), str(parent), "15", *command],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_the_command_runs_with_its_arguments_output_and_exit_code() -> None:
    command = [sys.executable, "-c", "import sys; print(sys.argv[1:]); sys.exit(7)", "a b", "-c"]
    ended = subprocess.run(
        with_parent_death_signal(command, signal.SIGTERM),
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout) == (7, "['a b', '-c']\n")


def test_a_child_ends_when_its_parent_is_killed() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with parent:
        assert parent.stdout is not None
        child = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
        parent.wait(60)
    ended = subprocess.run(
        [sys.executable, "-c", "import select, sys; print(select.select([0], [], [], 60)[0])"],
        stdin=child, capture_output=True, text=True, check=False, timeout=90,
    )  # fmt: skip
    os.close(child)
    assert ended.stdout == "[0]\n"  # a pidfd is readable once its process has ended


def test_nothing_starts_for_a_parent_that_has_ended_already() -> None:
    ended = launch(os.getpid() + 1, sys.executable, "-c", "print('started')")
    assert (ended.returncode, ended.stdout) == (1, "")


def test_a_missing_command_is_named() -> None:
    ended = launch(os.getpid(), "no-such-command")
    assert ended.returncode == 1
    assert "'no-such-command' cannot be started: No such file or directory" in ended.stderr
