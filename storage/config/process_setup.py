"""Start of a long-running process: its `--data`, and its end where a setting is wrong."""

import argparse
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from storage.config.folders import default_data
from storage.config.settings import SettingsError

__all__ = ["add_data_option", "configured", "exit_unconfigured"]

log = logging.getLogger("storage.config.process_setup")


def add_data_option(parser: argparse.ArgumentParser) -> None:
    """Give a process `--data`."""
    parser.add_argument(
        "--data", type=Path, default=default_data(),
        help="data folder (default: $HOURSIGHT_DATA, else ./var)",
    )  # fmt: skip


@contextmanager
def configured() -> Iterator[None]:
    """End the process as `exit_unconfigured` does when a setting cannot be used."""
    try:
        yield
    except SettingsError as error:
        exit_unconfigured(error)


def exit_unconfigured(error: Exception) -> NoReturn:
    """Log a wrong setting in one critical record, and end the process with EX_CONFIG (78).

    The supervisor then starts the process again when the settings have changed, and not before.
    """
    log.critical("%s", error)
    sys.exit(os.EX_CONFIG)
