"""The processes that run functions: `python -m functions collect|think --data DIR`."""

import argparse
import os
import threading
from pathlib import Path

from functions.engine import registry
from functions.engine.executors.subprocess_executor import SubprocessExecutor, WorkerFactory
from functions.engine.function_endpoint import FunctionEndpoint
from functions.engine.listeners import CommitListener
from functions.engine.runner import Runner
from functions.engine.scheduler import SourceWorker, run_scheduler
from functions.engine.user_code import SOURCES, UserCode
from functions.ingest.ingest_service import serve_ingest
from storage.config.folders import Folders
from storage.config.settings import read_settings
from storage.config.settings_file import SettingsFile, SettingsMonitor
from storage.ipc.rpc import serve_rpc
from storage.platform.process import configure_logging, restart, stop_on_signals

# A change of one of these restarts the process; the others do not concern it.
SECTIONS = ("metrics", "sources", "lake")


def main() -> None:
    """Run until SIGTERM or SIGINT; a change of the settings restarts the process."""
    parser = argparse.ArgumentParser(description="Run functions as they become due.")
    parser.add_argument("room", choices=("collect", "think"))
    parser.add_argument("--data", type=Path, default=os.environ.get("HOURSIGHT_DATA", "var"))
    arguments = parser.parse_args()
    configure_logging()
    stop = stop_on_signals()
    settings = read_settings(arguments.data)
    folders = Folders.at(arguments.data).create()
    monitor = SettingsMonitor(SettingsFile(folders.data, settings), SECTIONS, stop)
    worker_factory = WorkerFactory(folders, settings)
    if arguments.room == "collect":
        collect(Runner(folders, settings, worker_factory=worker_factory), worker_factory, stop)
    else:
        think(Runner(folders, settings), worker_factory, stop)
    if monitor.changed:
        restart()


def collect(runner: Runner, worker_factory: WorkerFactory, stop: threading.Event) -> None:
    """Run the adapters and the source files, each in its own process, and take what is pushed."""
    news = CommitListener(runner.folders, stop)
    source_workers = [
        SourceWorker(runner, SubprocessExecutor(worker_factory, source), news)
        for source in registry.adapter_sources(runner.settings)
    ]
    for source_worker in source_workers:
        source_worker.start()
    with serve_ingest(runner.folders):
        UserCode(runner, worker_factory, news, SOURCES).keep_watch(stop)
    for source_worker in source_workers:
        source_worker.stop()
    runner.flush()


def think(runner: Runner, worker_factory: WorkerFactory, stop: threading.Event) -> None:
    """Run our functions that make rows out of rows, the user's own, and what is called for."""
    news = CommitListener(runner.folders, stop)
    users = UserCode(runner, worker_factory, news)
    watcher = threading.Thread(target=users.keep_watch, args=(stop,), name="users")
    watcher.start()
    with serve_rpc(runner.folders.calls, FunctionEndpoint(runner, worker_factory, users).answer):
        run_scheduler(runner, registry.thinkers(), stop, watch_lake=True)
    watcher.join()
    runner.flush()


if __name__ == "__main__":
    main()
