"""Hoursight's public door: all that a user's function, notebook or test imports, and the command.

>>> lake = hoursight.connect("var")
>>> lake.sql("select server, score from fleet_now order by score desc").to_pandas()

What a name needs is imported at its first use: a function that reads nothing loads no database
engine, and most commands load no model.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

    from functions.engine.caller import CallFailed
    from functions.engine.forecaster import Forecaster, ModelUnusable
    from functions.engine.function import Batch, Unreachable, function
    from functions.engine.function_catalog import UnknownFunction
    from functions.engine.triggers import cron, every, files, request, rows
    from functions.engine.window import Window
    from storage.errors import HoursightError, LakeMissing, LakeUnreadable, QueryFailed
    from storage.model.schema import UnknownTable, table
    from storage.query.reader import Reader

__all__ = [
    "Batch", "CallFailed", "Forecaster", "HoursightError", "Lake", "LakeMissing", "LakeUnreadable",
    "ModelUnusable", "QueryFailed", "UnknownFunction", "UnknownTable", "Unreachable", "Window",
    "call", "connect", "cron", "every", "files", "function", "main", "request", "rows", "table",
]  # fmt: skip
__version__ = "0.1.0"

ROOMS = ("functions", "model_export", "scripts", "storage", "web")

# Where each name above is defined that this module does not define itself.
DEFINED_IN = {
    "Batch": "functions.engine.function",
    "CallFailed": "functions.engine.caller",
    "Forecaster": "functions.engine.forecaster",
    "HoursightError": "storage.errors",
    "LakeMissing": "storage.errors",
    "LakeUnreadable": "storage.errors",
    "ModelUnusable": "functions.engine.forecaster",
    "QueryFailed": "storage.errors",
    "UnknownFunction": "functions.engine.function_catalog",
    "UnknownTable": "storage.model.schema",
    "Unreachable": "functions.engine.function",
    "Window": "functions.engine.window",
    "cron": "functions.engine.triggers",
    "every": "functions.engine.triggers",
    "files": "functions.engine.triggers",
    "function": "functions.engine.function",
    "request": "functions.engine.triggers",
    "rows": "functions.engine.triggers",
    "table": "storage.model.schema",
}


def __getattr__(name: str) -> Any:
    """Import a public name at its first use."""
    if name not in DEFINED_IN:
        raise AttributeError(f"module 'hoursight' has no attribute {name!r}")
    module = DEFINED_IN[name]
    _import_own("storage", *(["functions"] if module.startswith("functions.") else []))
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class PackageShadowed(ImportError):
    """A module of somebody else's has the name of one of ours; the message names both."""


def _import_own(*names: str) -> None:
    """Import packages of ours, whatever of the same name stands in the working directory.

    Python puts that directory first where it runs interactively, in a notebook or with `-m`. Raises
    PackageShadowed where a module of that name was imported before.
    """
    root = _root()
    for name in names:
        if name not in sys.modules:
            spec = PathFinder.find_spec(name, [str(root)])
            if spec is None or spec.loader is None:
                raise ImportError(f"{root / name} is missing: install hoursight again")
            module = sys.modules[name] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        elif not _is_below(sys.modules[name], root):
            place = getattr(sys.modules[name], "__file__", None) or "another folder"
            raise PackageShadowed(
                f"the module {name!r} of {place} is imported already, and Hoursight has a package "
                f"of that name in {root}: rename yours, or use Hoursight in a Python that has not "
                "imported it"
            )


def _root() -> Path:
    """The folder of our packages: that of this file in a checkout, else one beside it."""
    here = Path(__file__).resolve().parent
    installed = here.parent / "_hoursight"
    return installed if (installed / "storage").is_dir() else here


def _is_below(module: ModuleType, root: Path) -> bool:
    places = list(getattr(module, "__path__", None) or [])
    return bool(places) and Path(places[0]).resolve().parent == root


class Lake:
    """A connection to one lake, beside the running system; needs no server."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def sql(self, text: str, **parameters: Any) -> pa.Table:
        """Return the rows of one SELECT as Arrow; `$name` stands for the parameter `name`.

        Ctrl-C ends it. Raises QueryFailed, and StatementRefused for a statement that is more than a
        read.
        """
        # In a thread of its own: the engine hears no Ctrl-C in the one that calls it.
        with _keyboard_interrupts(), self._reader.start(text, **parameters) as running:
            return running.rows()

    def close(self) -> None:
        """Close the lake."""
        self._reader.close()

    def __enter__(self) -> Lake:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def connect(data: Path | str | None = None, *, unrestricted: bool = False) -> Lake:
    """Open the lake in folder `data`, by default `HOURSIGHT_DATA`, else `var`.

    SQL is read-only: one SELECT or EXPLAIN, and functions that only compute or read. With
    `unrestricted`, everything that DuckDB does runs, also what writes or deletes files. Raises
    LakeMissing and LakeUnreadable.
    """
    _import_own("storage")
    from storage.config.folders import default_data
    from storage.query.reader import Reader

    with _keyboard_interrupts():
        return Lake(Reader.open(data or default_data(), unrestricted=unrestricted))


def call(
    data: Path | str,
    name: str,
    now: datetime | None = None,
    *,
    body: Any = None,
    files: Sequence[Path | str] = (),
    dry_run: bool = False,
) -> dict[str, pa.Table]:
    """Run a function as `hoursight call` does, and return its rows by table.

    The rows are left in the inbox unless `dry_run`. Raises CallFailed and UnknownFunction.
    """
    _import_own("storage", "functions")
    from functions.engine.caller import FunctionCaller

    paths = tuple(Path(file).absolute() for file in files)
    run = FunctionCaller.at(data).call(name, now, dry=dry_run, paths=paths, body=body)
    return dict(run.batch.rows)


def main(arguments: list[str] | None = None) -> None:
    """Run the command. Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.

    A HoursightError, and an OSError of a file, is printed as one message with its remedy; other
    errors keep their traceback.
    """
    _open_missing_streams()
    _escape_what_the_terminal_lacks()
    _import_own(*ROOMS)
    with _interrupt_ends_process():
        import click

        from scripts.cli import cli
        from scripts.cli.printer import say_lines, say_usage_error
        from storage.errors import HoursightError
        from storage.platform.durability import file_problem

    try:
        cli(arguments, standalone_mode=False)
    except click.ClickException as error:
        say_usage_error(error)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except HoursightError as error:
        say_lines(f"hoursight: {error}", err=True)
        sys.exit(1)
    except OSError as error:
        problem = file_problem(error)
        if problem is None:
            raise
        say_lines(f"hoursight: {problem}", err=True)
        sys.exit(1)


def _escape_what_the_terminal_lacks() -> None:
    """Print characters that the terminal's encoding does not have as escapes, such as \\u2192."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _open_missing_streams() -> None:
    """Give stdin, stdout and stderr to /dev/null where they are closed.

    A file that is opened later would get the number of one of them, and with it what is printed.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


@contextmanager
def _keyboard_interrupts() -> Iterator[None]:
    """Raise KeyboardInterrupt where DuckDB has made a RuntimeError of it."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error.__cause__, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        raise


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


if __name__ == "__main__":
    main()
