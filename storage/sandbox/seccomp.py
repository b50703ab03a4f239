"""Filter of system calls (seccomp): no writing, no network, no other process."""

import ctypes
import errno
import os
import struct
from collections.abc import Iterator, Sequence

from storage.sandbox.syscalls import SHARED_FROM, SHARED_PERMITTED, CallTable

__all__ = ["Instruction", "filter_program", "install_filter"]

# Code, jump if true, jump if false, operand; a jump is the number of instructions to skip.
Instruction = tuple[int, int, int, int]

LOAD, EQUALS, AT_LEAST, HAS_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, KILL = 0x7FFF0000, 0x80000000
NUMBER_AT, ARCH_AT, ARGUMENTS_AT = 0, 4, 16
X32_BIT = 0x40000000
CLONE_THREAD = 0x00010000
# Flags by which a file could be changed; O_TMPFILE contains O_DIRECTORY, which only reads.
WRITE_FLAGS = (
    os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    | (os.O_TMPFILE & ~os.O_DIRECTORY)
)  # fmt: skip

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, MODE_FILTER = 38, 22, 2


def filter_program(table: CallTable, pid: int) -> list[Instruction]:
    """Return the filter for the process `pid`: what it does not deny is permitted."""
    return [
        (LOAD, 0, 0, ARCH_AT), (EQUALS, 1, 0, table.arch), _answer(KILL),
        (LOAD, 0, 0, NUMBER_AT), (AT_LEAST, 0, 1, X32_BIT), _answer(KILL),
        *_shared_calls(),
        *(i for number in sorted(table.denied.values()) for i in _denied(number)),
        *(i for number, place in table.open_flags.items() for i in _only_reading(number, place)),
        *_checked(table.clone, 0, (HAS_BIT, CLONE_THREAD)),
        *_checked(table.tgkill, 0, (EQUALS, pid)),
        *_checked(table.prlimit64, 0, (EQUALS, 0)),
        _answer(ALLOW),
    ]  # fmt: skip


def install_filter(program: Sequence[Instruction]) -> None:
    """Put this thread, and all that it starts, under the filter for good. Raises OSError."""
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("@HP", len(program), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
    place = ctypes.create_string_buffer(header, len(header))
    for option, value, extra in (
        (PR_SET_NO_NEW_PRIVS, 1, 0),
        (PR_SET_SECCOMP, MODE_FILTER, ctypes.addressof(place)),
    ):
        if libc.prctl(option, value, extra, 0, 0):
            number = ctypes.get_errno()
            raise OSError(
                number, f"the kernel has no filter of system calls: {os.strerror(number)}"
            )


def _answer(action: int) -> Instruction:
    return RETURN, 0, 0, action


def _refused(number: int) -> Instruction:
    return _answer(0x00050000 | number)


def _shared_calls() -> Iterator[Instruction]:
    """Of calls with shared numbers the permitted ones; the C library does without the others."""
    permitted = sorted(SHARED_PERMITTED)
    yield AT_LEAST, 0, 2 * len(permitted) + 1, SHARED_FROM
    for number in permitted:
        yield EQUALS, 0, 1, number
        yield _answer(ALLOW)
    yield _refused(errno.ENOSYS)


def _denied(number: int) -> Iterator[Instruction]:
    yield EQUALS, 0, 1, number
    yield _refused(errno.EPERM)


def _only_reading(number: int, place: int) -> Iterator[Instruction]:
    """A call that opens a file: refused as a file without write permission is."""
    yield EQUALS, 0, 4, number
    yield LOAD, 0, 0, ARGUMENTS_AT + 8 * place
    yield HAS_BIT, 0, 1, WRITE_FLAGS
    yield _refused(errno.EACCES)
    yield _answer(ALLOW)


def _checked(number: int, place: int, test: tuple[int, int]) -> Iterator[Instruction]:
    """A call that is permitted if its argument passes the test."""
    code, operand = test
    yield EQUALS, 0, 4, number
    yield LOAD, 0, 0, ARGUMENTS_AT + 8 * place
    yield code, 1, 0, operand
    yield _refused(errno.EPERM)
    yield _answer(ALLOW)
