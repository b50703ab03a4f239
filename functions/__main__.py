"""The processes that run functions: `python -m functions collect|think --data DIR`."""

import argparse
import os
from pathlib import Path

from functions.runtime import registry
from functions.runtime.runner import Runner
from functions.runtime.worker import work
from storage.folders import Folders
from storage.process import log_plainly, until_told_to_stop
from storage.settings import read_settings


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description="Run functions as they become due.")
    parser.add_argument("room", choices=("collect", "think"))
    parser.add_argument("--data", type=Path, default=os.environ.get("HOURSIGHT_DATA", "var"))
    arguments = parser.parse_args()
    log_plainly()
    stop = until_told_to_stop()
    settings = read_settings(arguments.data)
    runner = Runner(Folders.at(arguments.data).create(), settings)
    if arguments.room == "collect":
        work(runner, registry.adapters(settings), stop, watch_lake=False)
    else:
        work(runner, registry.thinkers(), stop, watch_lake=True)


if __name__ == "__main__":
    main()
