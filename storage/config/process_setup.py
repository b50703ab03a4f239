"""Start of a long-running process: its `--data`, and how it ends where a setting is wrong."""

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from storage.config.folders import default_data
from storage.config.settings import SettingsError

__all__ = ["add_data_option", "configured", "exit_unconfigured"]


def add_data_option(parser: argparse.ArgumentParser) -> None:
    """Give a process `--data`."""
    parser.add_argument(
        "--data", type=Path, default=default_data(),
        help="data folder (default: $HOURSIGHT_DATA, else ./var)",
    )  # fmt: skip


@contextmanager
def configured() -> Iterator[None]:
    """End the process with one sentence and EX_CONFIG when a setting cannot be used."""
    try:
        yield
    except SettingsError as error:
        exit_unconfigured(error)


def exit_unconfigured(error: Exception) -> NoReturn:
    """End the process with one sentence; the supervisor waits for other settings before it retries.

    Its exit code is EX_CONFIG (78).
    """
    sys.stderr.write(f"ERROR {error}\n")
    sys.exit(os.EX_CONFIG)
