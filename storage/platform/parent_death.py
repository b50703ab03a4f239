"""Launcher: asks the kernel for a signal when its parent ends, then becomes the command.

`python -I -S parent_death.py PARENT SIGNAL COMMAND [ARGUMENT …]`, as
`storage.platform.process.with_parent_death_signal` writes
it. The request survives the exec. It is made here, and not between fork and exec in the parent,
because Python code must not run there while the parent has other threads.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main(parent: int, signal_number: int, command: list[str]) -> None:
    """Run the command in this process; exit at once when `parent` has ended already."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal_number)
    if os.getppid() != parent:
        sys.exit(1)
    try:
        os.execvp(command[0], command)  # noqa: S606 - this is what the launcher is for
    except OSError as error:
        sys.exit(f"ERROR {command[0]!r} cannot be started: {error.strerror}")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
