"""The command group `hoursight`, and the option `--data` of its commands."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from scripts.cli.log_options import log_options, log_to
from storage.config.folders import default_data
from storage.platform.private_files import restrict_new_files

__all__ = ["cli", "data_option", "unused_data_option"]

NEAREST = "hoursight.data"

C = TypeVar("C", bound=Callable[..., Any])


def data_option(command: C) -> C:
    """Add `--data` to a command; its default is that of the group before it, else the usual one.

    `hoursight --data D models promote N` and `hoursight models promote N --data D` are the same.
    """
    return _option(command)


def unused_data_option(command: C) -> C:
    """Add `--data` to a command that does not use it, so that every command accepts it."""
    return _option(command, expose_value=False)


def _option(command: C, **options: Any) -> C:
    return click.option(
        "--data",
        type=click.Path(path_type=Path, file_okay=False),
        callback=_nearest,
        show_default="$HOURSIGHT_DATA, else var",
        help="The data folder.",
        **options,
    )(command)


def _nearest(context: click.Context, _: click.Parameter, given: Path | None) -> Path:
    data: Path = given or context.meta.get(NEAREST) or default_data()
    context.meta[NEAREST] = data  # which the contexts of subcommands share
    return data


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="hoursight", prog_name="hoursight")
@unused_data_option
@log_options
def cli() -> None:
    """Tells you, hours ahead and with honest odds, which server is going to be in trouble."""
    restrict_new_files()
    log_to("command", "warning")
