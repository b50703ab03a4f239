"""A query in a terminal: a bar on stderr while it takes its time; a signal ends it."""

import pyarrow as pa
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from scripts.interrupts import Interrupts
from storage.query.query_handle import QueryHandle
from storage.query.reader import Reader

__all__ = ["rows_of"]

# A shorter query shows no bar.
BAR_AFTER_S = 1.0
UPDATE_EVERY_S = 0.1


def rows_of(reader: Reader, statement: str, interrupts: Interrupts) -> pa.Table:
    """Return the rows of a statement; exits when it was interrupted. Raises QueryFailed."""
    console = Console(stderr=True)
    with reader.start(statement) as running, interrupts.cancelling(running.interrupt):
        try:
            return running.rows(BAR_AFTER_S if console.is_terminal else None)
        except TimeoutError:
            return _with_bar(running, console)


def _with_bar(running: QueryHandle, console: Console) -> pa.Table:
    columns = (TextColumn("Reading"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)
        while True:
            try:
                return running.rows(UPDATE_EVERY_S)
            except TimeoutError:
                share = running.progress
                if share is not None:
                    bar.update(task, total=1.0, completed=share)
