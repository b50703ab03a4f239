"""Numbers of system calls."""

import ctypes
import errno
import os
import platform

import pytest

from storage.sandbox.syscalls import SHARED_FROM, SHARED_PERMITTED, TABLES

# Effects that no sandbox may have, under any name of a call that a machine has for it.
FORBIDDEN = ("unlinkat", "renameat2", "mkdirat", "linkat", "truncate", "socket", "connect", "bind",
             "execve", "execveat", "kill", "ptrace", "mount", "bpf", "keyctl")  # fmt: skip


@pytest.mark.parametrize("machine", TABLES)
def test_a_table_has_every_number_once(machine: str) -> None:
    table = TABLES[machine]
    numbers = [*table.denied.values(), *table.open_flags, table.clone, table.tgkill]
    numbers.append(table.prlimit64)
    assert len(set(numbers)) == len(numbers)
    assert max(numbers) < SHARED_FROM <= min(SHARED_PERMITTED)
    assert set(FORBIDDEN) <= table.denied.keys()


def test_the_numbers_of_this_machine_are_those_calls() -> None:
    table = TABLES[platform.machine()]
    libc = ctypes.CDLL(None, use_errno=True)
    # With a descriptor that does not exist, or with no path.
    for name, expected in (("fchmod", errno.EBADF), ("ftruncate", errno.EBADF),
                           ("unlinkat", errno.EBADF), ("connect", errno.EBADF)):  # fmt: skip
        assert libc.syscall(table.denied[name], 999_999, b"x", 0) == -1
        assert ctypes.get_errno() == expected, name
    assert libc.syscall(table.tgkill, os.getpid(), os.getpid(), 0) == 0
