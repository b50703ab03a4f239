"""A query in a terminal: a bar on stderr while it takes its time; a signal ends it."""

import pyarrow as pa
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from scripts.cli.printer import Console, console
from scripts.interrupts import Interrupts
from storage.query.query_handle import QueryHandle
from storage.query.reader import Reader

__all__ = ["rows_of"]

# A shorter query shows no bar.
BAR_AFTER_S = 1.0
UPDATE_EVERY_S = 0.1


def rows_of(reader: Reader, statement: str, interrupts: Interrupts) -> pa.Table:
    """Return the rows of a statement; exits when it was interrupted. Raises QueryFailed."""
    screen = console(err=True)
    with reader.start(statement) as running, interrupts.cancelling(running.interrupt):
        try:
            return running.rows(BAR_AFTER_S if screen.is_terminal else None)
        except TimeoutError:
            return _with_bar(running, screen)


def _with_bar(running: QueryHandle, screen: Console) -> pa.Table:
    columns = (TextColumn("Reading"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=screen, transient=True) as bar:
        task = bar.add_task("", total=None)
        while True:
            try:
                return running.rows(UPDATE_EVERY_S)
            except TimeoutError:
                share = running.progress
                if share is not None:
                    bar.update(task, total=1.0, completed=share)
