"""Memory and CPU time of running processes, each with its descendants, read from /proc."""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

__all__ = ["Usage", "is_stopped", "running_since", "started_at", "usage_of"]

# A process id may be reused: it is the logged process only when the start times agree this closely.
SAME_START = timedelta(seconds=10)

STOPPED = ("T", "t")

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
# Indexes of the fields of /proc/PID/stat after the command name, the state being 0.
_UTIME, _STIME, _CUTIME, _CSTIME, _STARTTIME, _RSS = 11, 12, 13, 14, 19, 21


@dataclass(frozen=True, slots=True)
class Usage:
    """Resident memory [bytes] and CPU time [s] of a process and its descendants."""

    resident_bytes: float
    cpu_s: float


def usage_of(pid: int) -> Usage | None:
    """Return the usage of a process with its descendants, or None when it does not exist.

    The CPU time includes that of terminated children which were waited for.
    """
    stats = [stat for each in _with_descendants(pid) if (stat := _stat(each))]
    if not stats or _stat(pid) is None:
        return None
    ticks = sum(stat[i] for stat in stats for i in (_UTIME, _STIME, _CUTIME, _CSTIME))
    return Usage(_PAGE_BYTES * sum(stat[_RSS] for stat in stats), ticks / _TICKS_PER_S)


def started_at(pid: int) -> datetime | None:
    """Return the start time of a process, or None when it does not exist."""
    stat = _stat(pid)
    if stat is None:
        return None
    return datetime.fromtimestamp(_boot_s() + stat[_STARTTIME] / _TICKS_PER_S, UTC)


def running_since(pid: int | None, logged_at: datetime) -> datetime | None:
    """Return the start time of the process that was logged with this id at its start.

    None when it has ended, runs on another host, or its id belongs to another process.
    """
    began = started_at(pid) if pid else None
    return began if began and abs(began - logged_at) < SAME_START else None


def is_stopped(pid: int) -> bool:
    """Return True if a process is stopped, by SIGSTOP or a debugger."""
    with suppress(OSError):
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state in STOPPED
    return False


def _stat(pid: int) -> list[int] | None:
    with suppress(OSError, ValueError):
        text = Path(f"/proc/{pid}/stat").read_text()
        state, *numbers = text.rpartition(")")[2].split()
        return None if state == "Z" else [0, *map(int, numbers)]
    return None


def _with_descendants(pid: int) -> Iterator[int]:
    yield pid
    with suppress(OSError, ValueError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _with_descendants(int(child))


def _boot_s() -> float:
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith("btime "):
            return float(line.split()[1])
    raise OSError("/proc/stat has no btime")
