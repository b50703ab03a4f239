"""Progress of a replay: a bar in a terminal, else a line for each tenth on standard error."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import Progress

from scripts.cli.printer import console, say

__all__ = ["OnStep", "replay_progress"]

OnStep = Callable[[int, int], None]  # the steps that are done, and their number


@contextmanager
def replay_progress() -> Iterator[OnStep]:
    """Context: a function that shows how far a replay is."""
    if not sys.stderr.isatty():
        yield _Tenths()
        return
    with Progress(console=console(err=True)) as progress:
        task = progress.add_task("Replaying", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


class _Tenths:
    def __init__(self) -> None:
        self._began = time.monotonic()
        self._said = 0

    def __call__(self, done: int, total: int) -> None:
        tenth = 10 * done // total
        if tenth == self._said:
            return
        self._said = tenth
        seconds = time.monotonic() - self._began
        left = seconds * (total - done) / done
        say(f"replayed {done} of {total} steps in {seconds:.0f} s, {left:.0f} s left", err=True)
