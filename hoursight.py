"""Hoursight's door: the command, and `connect`, `call` and `Forecaster` for notebooks.

>>> lake = hoursight.connect("var")
>>> lake.sql("select server, score from fleet_now order by score desc").to_pandas()
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

    from functions.engine.forecaster import Forecaster
    from storage.query.reader import Reader

__all__ = ["Forecaster", "Lake", "call", "connect", "main"]
__version__ = "0.1.0"


class Lake:
    """A read-only door to one lake, beside the running system; needs no server."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def sql(self, text: str, **parameters: Any) -> pa.Table:
        """The rows of one SELECT as an Arrow table; `$name` stands for the parameter `name`."""
        return self._reader.query(text, **parameters)

    def close(self) -> None:
        """Let go of the lake."""
        self._reader.close()

    def __enter__(self) -> Lake:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def connect(data: Path | str = "var") -> Lake:
    """Open the lake in folder `data`; storage.query.reader.LakeMissing says when there is none."""
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
    import click

    from scripts.cli import cli
    from storage.errors import HoursightError

    try:
        cli(arguments, standalone_mode=False)
    except click.exceptions.Exit as leave:
        sys.exit(leave.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except HoursightError as error:
        click.echo(f"hoursight: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
