"""The filter of system calls, by an interpreter of its instructions."""

import errno
import os
from collections.abc import Sequence

import pytest

from storage.sandbox.seccomp import ALLOW, KILL, Instruction, filter_program
from storage.sandbox.syscalls import TABLES

PID = 4242
X86 = TABLES["x86_64"]
PROGRAM = filter_program(X86, PID)


def outcome(
    number: int, *arguments: int, arch: int = X86.arch, program: Sequence[Instruction] = PROGRAM
) -> int:
    """What the kernel makes of a call."""
    memory = {0: number, 4: arch} | {16 + 8 * i: value for i, value in enumerate(arguments)}
    at = value = 0
    while True:
        code, if_true, if_false, operand = program[at]
        at += 1
        if code == 0x06:
            return operand
        if code == 0x20:
            value = memory.get(operand, 0)
            continue
        true = {0x15: value == operand, 0x35: value >= operand, 0x45: bool(value & operand)}[code]
        at += if_true if true else if_false


def refused(number: int) -> int:
    return 0x00050000 | number


@pytest.mark.parametrize("name", X86.denied)
def test_a_denied_call_is_refused(name: str) -> None:
    assert outcome(X86.denied[name]) == refused(errno.EPERM)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (os.O_RDONLY, ALLOW), (os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY, ALLOW),
        *((flag, refused(errno.EACCES)) for flag in (
            os.O_WRONLY, os.O_RDWR, os.O_CREAT, os.O_TRUNC, os.O_APPEND, os.O_TMPFILE,
        )),
    ],
)  # fmt: skip
def test_a_file_can_be_opened_to_read_only(flags: int, expected: int) -> None:
    assert outcome(2, 0, flags) == expected
    assert outcome(257, 0, 0, flags) == expected


def test_threads_can_be_started_and_processes_cannot() -> None:
    assert outcome(X86.clone, 0x003D0F00) == ALLOW
    assert outcome(X86.clone, 0x01200011) == refused(errno.EPERM)


def test_signals_and_limits_are_its_own() -> None:
    assert outcome(X86.tgkill, PID, 1, 6) == ALLOW
    assert outcome(X86.tgkill, 1, 1, 9) == refused(errno.EPERM)
    assert outcome(X86.prlimit64, 0) == ALLOW
    assert outcome(X86.prlimit64, 1) == refused(errno.EPERM)


def test_calls_of_later_kernels_are_unknown() -> None:
    for number in (425, 435, 437, 447, 463, 500, 0x3FFFFFFF):
        assert outcome(number) == refused(errno.ENOSYS)
    assert outcome(439) == ALLOW  # faccessat2
    assert outcome(0) == ALLOW  # read


def test_calls_in_the_numbers_of_another_machine_end_the_process() -> None:
    assert outcome(0, arch=0x40000003) == KILL
    assert outcome(0x40000000 + 1) == KILL


@pytest.mark.parametrize("machine", TABLES)
def test_every_jump_stays_inside(machine: str) -> None:
    program = filter_program(TABLES[machine], PID)
    assert len(program) < 4096
    for at, (_, if_true, if_false, _) in enumerate(program):
        assert at + 1 + max(if_true, if_false) < len(program) + (program[at][0] == 0x06)
        assert max(if_true, if_false) < 256
