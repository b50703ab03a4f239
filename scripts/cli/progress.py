"""A query in a terminal: a bar on stderr while it takes its time; a signal ends it."""

import pyarrow as pa
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from scripts.interrupts import Interrupts
from storage.query.query_handle import QueryHandle
from storage.query.reader import Reader

__all__ = ["rows_of"]

# A query that is over sooner shows no bar.
PATIENCE_S = 1.0
LOOK_EVERY_S = 0.1


def rows_of(reader: Reader, statement: str, interrupts: Interrupts) -> pa.Table:
    """The rows of a statement; exits when it was interrupted."""
    console = Console(stderr=True)
    with reader.start(statement) as running, interrupts.cancelling(running.interrupt):
        try:
            return running.rows(PATIENCE_S if console.is_terminal else None)
        except TimeoutError:
            return _watched(running, console)


def _watched(running: QueryHandle, console: Console) -> pa.Table:
    look = (TextColumn("Reading"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*look, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)
        while True:
            try:
                return running.rows(LOOK_EVERY_S)
            except TimeoutError:
                share = running.progress
                if share is not None:
                    bar.update(task, total=1.0, completed=share)
