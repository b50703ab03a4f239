"""Start of a long-running process: its option `--data`, and its exit on an invalid setting."""

import argparse
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from storage.config.folders import default_data

__all__ = ["add_data_option", "configured", "exit_unconfigured"]

log = logging.getLogger("storage.config.process_setup")


def add_data_option(parser: argparse.ArgumentParser) -> None:
    """Add the option `--data` to a process."""
    parser.add_argument(
        "--data", type=Path, default=default_data(),
        help="data folder (default: $HOURSIGHT_DATA, else ./var)",
    )  # fmt: skip


@contextmanager
def configured() -> Iterator[None]:
    """End the process as `exit_unconfigured` does when a setting cannot be used."""
    # A process without settings does not load them, which takes 45 MB.
    from storage.config.settings import SettingsError

    try:
        yield
    except SettingsError as error:
        exit_unconfigured(error)


def exit_unconfigured(error: Exception) -> NoReturn:
    """Log an invalid setting in one critical record and end the process with EX_CONFIG (78).

    The supervisor starts it again once the settings have changed.
    """
    log.critical("%s", error)
    sys.exit(os.EX_CONFIG)
