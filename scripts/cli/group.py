"""What all commands hang on: the group, and the options that they share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from scripts.cli.log_options import log_options, log_to

__all__ = ["cli", "data_option", "given_data_option"]

C = TypeVar("C", bound=Callable[..., Any])


def data_option(command: C) -> C:
    """Give a command `--data`."""
    return click.option(
        "--data",
        type=click.Path(path_type=Path, file_okay=False),
        default="var",
        show_default=True,
        envvar="HOURSIGHT_DATA",
        help="The data folder.",
    )(command)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="hoursight", prog_name="hoursight")
@log_options
def cli() -> None:
    """Tells you, hours ahead and with honest odds, which server is going to be in trouble."""
    log_to("command", "warning")


def _given_before() -> Path:
    """The --data that stands before the subcommand."""
    parent = click.get_current_context().parent
    assert parent is not None
    return Path(parent.params["data"])


# Of a subcommand: `hoursight models --data D promote N` and `hoursight models promote N --data D`.
given_data_option = click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), default=_given_before,
    help="The data folder.",
)  # fmt: skip
