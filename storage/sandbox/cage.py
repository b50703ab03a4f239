"""The cage of a process that runs SQL of strangers: Landlock, a filter of system calls, limits.

It goes up in two steps. `close_system` comes before the database engine is loaded, so that every
thread of it is inside: nothing can be written, no socket opened, no process started. `close_files`
comes when the engine is loaded: from then on only the lake can be read.
"""

import os
import platform
import resource
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from storage.errors import HoursightError
from storage.sandbox.landlock import landlock_version, restrict_reading
from storage.sandbox.seccomp import filter_program, install_filter
from storage.sandbox.syscalls import TABLES

__all__ = [
    "CageMissing", "close_files", "close_system", "limit_cpu", "limit_memory", "missing_for_cage",
]  # fmt: skip

NICENESS = 5
MAX_DESCRIPTORS = 256
STATUS = Path("/proc/self/status")
OOM_SCORE = Path("/proc/self/oom_score_adj")
REMEDY = "run queries with 'hoursight sql' on this machine"


class CageMissing(HoursightError):
    """The kernel does not confine this process; the message says what is missing."""


def missing_for_cage() -> str | None:
    """Return what this machine lacks to confine a process; None if it has all."""
    if sys.platform != "linux":
        return f"{sys.platform} has neither Landlock nor seccomp, which are parts of Linux"
    if platform.machine() not in TABLES:
        return f"the system calls of {platform.machine()} are not known here"
    if not landlock_version():
        return (
            "this kernel has no Landlock, or it is switched off "
            "(Linux 5.13 or later, with 'landlock' in its list of security modules)"
        )
    return None


def close_system() -> None:
    """Forbid to write, to open sockets and to start or signal processes. Raises CageMissing."""
    missing = missing_for_cage()
    if missing:
        raise CageMissing(missing, REMEDY)
    with suppress(OSError):  # then the system's memory is shared out as usual
        OOM_SCORE.write_text("1000")
    os.nice(NICENESS)
    for kind, limit in (
        (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, MAX_DESCRIPTORS),
    ):  # fmt: skip
        resource.setrlimit(kind, (limit, limit))
    try:
        restrict_reading([Path("/")])
        install_filter(filter_program(TABLES[platform.machine()], os.getpid()))
    except OSError as error:
        raise CageMissing(error.strerror or str(error), REMEDY) from error
    _check_closed()


def close_files(readable: Iterable[Path], closed: Path) -> None:
    """Forbid to read anything but what is below `readable`. Raises CageMissing.

    `closed` is an existing file or folder outside of it, with which the effect is checked.
    """
    try:
        restrict_reading(readable)
    except OSError as error:
        raise CageMissing(error.strerror or str(error), REMEDY) from error
    with suppress(PermissionError):
        os.close(os.open(closed, os.O_RDONLY))
        raise CageMissing("the kernel lets a confined process read other files", REMEDY)


def limit_memory(more_bytes: int) -> None:
    """Let this process take `more_bytes` of memory beyond what it has now."""
    used_kib = next(
        int(line.split()[1])
        for line in STATUS.read_text().splitlines()
        if line.startswith("VmData:")
    )
    limit = 1024 * used_kib + more_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def limit_cpu(more_s: float) -> None:
    """Let this process use `more_s` of CPU time from now on; the kernel ends it after that."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(usage.ru_utime + usage.ru_stime + more_s) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))


def _check_closed() -> None:
    """Raise CageMissing unless writing, sockets and processes are refused."""
    import socket

    with suppress(OSError):
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()
        raise CageMissing("the kernel lets a confined process open a socket", REMEDY)
    with suppress(OSError):
        os.close(os.open("/dev/null", os.O_WRONLY))
        raise CageMissing("the kernel lets a confined process write", REMEDY)
    with suppress(OSError):
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        raise CageMissing("the kernel lets a confined process start another", REMEDY)
