"""Launcher: requests a signal for when its parent ends, then executes a command.

Usage: `python -I -S parent_death.py PARENT SIGNAL COMMAND [ARGUMENT …]`; see
`storage.platform.process.with_parent_death_signal`. The request survives the exec. It is not made
between fork and exec in the parent, because Python code must not run there while the parent has
other threads.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main(parent: int, signal_number: int, command: list[str]) -> None:
    """Execute the command in this process; exit with 1 if `parent` has ended already."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal_number)
    if os.getppid() != parent:
        sys.exit(1)
    try:
        os.execvp(command[0], command)  # noqa: S606 - the purpose of the launcher
    except OSError as error:
        sys.exit(f"ERROR {command[0]!r} cannot be started: {error.strerror}")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
