"""Hoursight's public door: all that a user's function, notebook or test imports, and the command.

>>> lake = hoursight.connect("var")
>>> lake.sql("select server, score from fleet_now order by score desc").to_pandas()

What a name needs is imported at its first use: a function that reads nothing loads no database
engine, and most commands load no model.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from functions import deprecated_imports

if TYPE_CHECKING:
    import pyarrow as pa

    from functions.engine.caller import CallFailed
    from functions.engine.forecaster import Forecaster, ModelUnusable
    from functions.engine.function import Batch, Unreachable, function
    from functions.engine.function_catalog import UnknownFunction
    from functions.engine.triggers import cron, every, files, request, rows
    from functions.engine.window import Window
    from storage.model.schema import UnknownTable, table
    from storage.query.reader import LakeMissing, LakeUnreadable, QueryFailed, Reader

__all__ = [
    "Batch", "CallFailed", "Forecaster", "Lake", "LakeMissing", "LakeUnreadable", "ModelUnusable",
    "QueryFailed", "UnknownFunction", "UnknownTable", "Unreachable", "Window", "call", "connect",
    "cron", "every", "files", "function", "main", "request", "rows", "table",
]  # fmt: skip
__version__ = "0.1.0"

ROOMS = frozenset({"storage", "functions", "model_export", "scripts", "web"})

# Where each name above is defined that this module does not define itself.
DEFINED_IN = {
    "Batch": "functions.engine.function",
    "CallFailed": "functions.engine.caller",
    "Forecaster": "functions.engine.forecaster",
    "LakeMissing": "storage.query.reader",
    "LakeUnreadable": "storage.query.reader",
    "ModelUnusable": "functions.engine.forecaster",
    "QueryFailed": "storage.query.reader",
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


deprecated_imports.install()


def __getattr__(name: str) -> Any:
    """Import a public name at its first use."""
    if name not in DEFINED_IN:
        raise AttributeError(f"module 'hoursight' has no attribute {name!r}")
    value = getattr(importlib.import_module(DEFINED_IN[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class Lake:
    """A read-only view of one lake, beside the running system; needs no server."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def sql(self, text: str, **parameters: Any) -> pa.Table:
        """Return the rows of one SELECT as Arrow; `$name` stands for the parameter `name`.

        Raises QueryFailed.
        """
        return self._reader.query(text, **parameters)

    def close(self) -> None:
        """Close the lake."""
        self._reader.close()

    def __enter__(self) -> Lake:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def connect(data: Path | str = "var") -> Lake:
    """Open the lake in folder `data`. Raises LakeMissing and LakeUnreadable."""
    from storage.query.reader import Reader

    return Lake(Reader.open(data))


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
    from functions.engine.caller import FunctionCaller

    paths = tuple(Path(file).absolute() for file in files)
    run = FunctionCaller.at(data).call(name, now, dry=dry_run, paths=paths, body=body)
    return dict(run.batch.rows)


def main(arguments: list[str] | None = None) -> None:
    """The command. What goes wrong is said in a sentence, with the remedy, and exits with 1."""
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


def _is_ours(error: Exception) -> bool:
    """Whether an error was made for people: those of our own rooms are."""
    return type(error).__module__.split(".")[0] in ROOMS


if __name__ == "__main__":
    main()
