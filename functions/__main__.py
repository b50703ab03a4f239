"""The processes that run functions: `python -m functions collect|think --data DIR`."""

import argparse
import os
import threading
from pathlib import Path

from functions.engine import registry
from functions.engine.executors.subprocess_executor import Isolate, Nursery
from functions.engine.function_endpoint import Door
from functions.engine.listeners import LakeNews
from functions.engine.runner import Runner
from functions.engine.scheduler import Resident, work
from functions.engine.user_code import SOURCES, Users
from functions.ingest.ingest_service import taking_pushes
from storage.config.folders import Folders
from storage.config.settings import read_settings
from storage.ipc.rpc import answering
from storage.platform.process import log_plainly, until_told_to_stop


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description="Run functions as they become due.")
    parser.add_argument("room", choices=("collect", "think"))
    parser.add_argument("--data", type=Path, default=os.environ.get("HOURSIGHT_DATA", "var"))
    arguments = parser.parse_args()
    log_plainly()
    stop = until_told_to_stop()
    settings = read_settings(arguments.data)
    folders = Folders.at(arguments.data).create()
    nursery = Nursery(folders, settings)
    if arguments.room == "collect":
        collect(Runner(folders, settings, nursery=nursery), nursery, stop)
    else:
        think(Runner(folders, settings), nursery, stop)


def collect(runner: Runner, nursery: Nursery, stop: threading.Event) -> None:
    """Run the adapters and the source files, each in its own process, and take what is pushed."""
    news = LakeNews(runner.folders, stop)
    residents = [
        Resident(runner, Isolate(nursery, source), news)
        for source in registry.adapter_sources(runner.settings)
    ]
    for resident in residents:
        resident.start()
    with taking_pushes(runner.folders):
        Users(runner, nursery, news, SOURCES).keep_watch(stop)
    for resident in residents:
        resident.stop()
    runner.flush()


def think(runner: Runner, nursery: Nursery, stop: threading.Event) -> None:
    """Run our functions that make rows out of rows, the user's own, and what is called for."""
    news = LakeNews(runner.folders, stop)
    users = Users(runner, nursery, news)
    watcher = threading.Thread(target=users.keep_watch, args=(stop,), name="users")
    watcher.start()
    with answering(runner.folders.calls, Door(runner, nursery, users).answer):
        work(runner, registry.thinkers(), stop, watch_lake=True)
    watcher.join()
    runner.flush()


if __name__ == "__main__":
    main()
