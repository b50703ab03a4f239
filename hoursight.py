"""Hoursight's door: the command, and `connect`, `call` and `Forecaster` for notebooks.

>>> lake = hoursight.connect("var")
>>> lake.sql("select server, score from fleet_now order by score desc").to_pandas()
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

    from functions.engine.forecaster import Forecaster
    from storage.query.reader import Reader

__all__ = ["Forecaster", "Lake", "call", "connect", "main"]
__version__ = "0.1.0"

ROOMS = frozenset({"storage", "functions", "model_export", "scripts", "web"})


class Lake:
    """A connection to one lake, beside the running system; needs no server."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def sql(self, text: str, **parameters: Any) -> pa.Table:
        """The rows of one SELECT as an Arrow table; `$name` stands for the parameter `name`.

        Ctrl-C ends it. Raises storage.query.reader.QueryFailed, and StatementRefused for a statement that
        is more than a read.
        """
        # In a thread of its own: the engine hears no Ctrl-C in the one that calls it.
        with self._reader.start(text, **parameters) as running:
            return running.rows()

    def close(self) -> None:
        """Let go of the lake."""
        self._reader.close()

    def __enter__(self) -> Lake:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def connect(data: Path | str = "var", *, unrestricted: bool = False) -> Lake:
    """Open the lake in folder `data`; storage.query.reader.LakeMissing says when there is none.

    SQL is read-only: one SELECT or EXPLAIN, and functions that only compute or read. With
    `unrestricted`, everything that DuckDB does runs, also what writes or deletes files.
    """
    from storage.query.reader import Reader

    return Lake(Reader.open(data, unrestricted=unrestricted))


def call(
    data: Path | str,
    name: str,
    now: datetime | None = None,
    *,
    body: Any = None,
    files: Sequence[Path | str] = (),
    dry_run: bool = False,
) -> dict[str, pa.Table]:
    """Run a function as `hoursight call` does; its rows by table. Raises CallFailed."""
    from scripts.cli.call import roster_of

    paths = tuple(Path(file).absolute() for file in files)
    run = roster_of(Path(data)).call(name, now, dry=dry_run, paths=paths, body=body)
    return dict(run.batch.rows)


def __getattr__(name: str) -> Any:
    """`hoursight.Forecaster`, loaded when it is asked for: most commands need no model."""
    if name == "Forecaster":
        from functions.engine.forecaster import Forecaster

        return Forecaster
    raise AttributeError(f"module 'hoursight' has no attribute {name!r}")


def main(arguments: list[str] | None = None) -> None:
    """The command. What goes wrong is said in a sentence, with the remedy, and exits with 1."""
    with _interrupt_ends_process():
        import click

        from scripts.cli import cli

    try:
        cli(arguments, standalone_mode=False)
    except click.exceptions.Exit as leave:
        sys.exit(leave.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except Exception as error:
        if not _is_ours(error):
            raise
        click.echo(f"hoursight: {error}", err=True)
        sys.exit(1)


@contextmanager
def _interrupt_ends_process() -> Iterator[None]:
    """Ctrl-C while modules load: the import system would lose a KeyboardInterrupt at times."""
    main_thread = threading.current_thread() is threading.main_thread()
    if not main_thread or signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        yield
        return
    previous = signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def _is_ours(error: Exception) -> bool:
    """Whether an error was made for people: those of our own rooms are."""
    return type(error).__module__.split(".")[0] in ROOMS


if __name__ == "__main__":
    main()
