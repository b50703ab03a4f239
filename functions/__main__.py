"""The processes that run functions: `python -m functions collector|engine --data DIR`."""

import argparse
import threading
from functools import partial

from functions.delivery.delivery_threads import DeliveryThreads
from functions.engine.executors.subprocess_executor import SubprocessExecutor, WorkerFactory
from functions.engine.function_catalog import adapter_sources, engine_functions
from functions.engine.function_endpoint import FunctionEndpoint
from functions.engine.listeners import CommitListener
from functions.engine.run_history import EngineRunHistory, RunHistoryEndpoint
from functions.engine.runner import Runner
from functions.engine.scheduler import SourceWorker, run_scheduler
from functions.engine.user_code import SOURCES, UserCode
from functions.ingest.ingest_service import serve_ingest
from storage.config.folders import Folders
from storage.config.process_setup import add_data_option, configured
from storage.config.settings import read_settings
from storage.config.settings_file import SettingsFile, SettingsMonitor
from storage.ipc.rpc import serve_rpc
from storage.platform import logs
from storage.platform.heartbeat import Heartbeat
from storage.platform.private_files import restrict_new_files
from storage.platform.process import raise_descriptor_limit, restart, stop_on_signals
from storage.platform.threads import SupervisedThread, run_supervised

# As the processes were called before; service files may name them so.
FORMER_NAMES = {"collect": "collector", "think": "engine"}
# A change of one of these restarts the process; the others do not concern it.
SECTIONS = (
    "metrics", "limits", "sources", "remote_write", "lake", "devices", "times", "functions",
    "alerts", "channels", "heartbeat", "training",
)  # fmt: skip
# What is on its way at the end; a message that takes longer is sent again, under its key.
SENT_WITHIN_S = 2.0


def main() -> None:
    """Run until SIGTERM or SIGINT; a change of the settings restarts the process."""
    parser = argparse.ArgumentParser(description="Run functions as they become due.")
    parser.add_argument(
        "process", choices=("collector", "engine"), type=lambda name: FORMER_NAMES.get(name, name)
    )
    add_data_option(parser)
    logs.add_options(parser)
    arguments = parser.parse_args()
    restrict_new_files()
    logs.configure(arguments.process, arguments.log_level, arguments.log_format)
    raise_descriptor_limit()
    stop = stop_on_signals()
    with configured():
        settings = read_settings(arguments.data)
    folders = Folders.at(arguments.data).create()
    monitor = SettingsMonitor(SettingsFile(folders.data, settings), SECTIONS, stop)
    worker_factory = WorkerFactory(folders, settings)
    if arguments.process == "collector":
        runner = Runner(folders, settings, history=EngineRunHistory(folders))
        collect(runner, worker_factory, stop)
    else:
        think(Runner(folders, settings), worker_factory, stop)
    if monitor.changed:
        restart()


def collect(runner: Runner, worker_factory: WorkerFactory, stop: threading.Event) -> None:
    """Run the adapters and the source files, each in a worker, and take what is pushed."""
    beat = Heartbeat(runner.folders.heartbeats, "collector").beat
    commits = CommitListener(runner.folders, stop)
    source_workers = [
        SourceWorker(runner, SubprocessExecutor(worker_factory, source), commits)
        for source in adapter_sources(runner.settings)
    ]
    for source_worker in source_workers:
        source_worker.start()
    with serve_ingest(runner.folders):
        sources = UserCode(runner, worker_factory, commits, SOURCES)
        run_supervised("source files", partial(sources.keep_watch, stop, beat), stop)
    for source_worker in source_workers:
        source_worker.stop()
    runner.flush()


def think(runner: Runner, worker_factory: WorkerFactory, stop: threading.Event) -> None:
    """Run our functions on rows and the user's functions when they are due, and answer calls."""
    beat = Heartbeat(runner.folders.heartbeats, "engine").beat
    commits = CommitListener(runner.folders, stop)
    users = UserCode(runner, worker_factory, commits)
    watcher = SupervisedThread("user functions", partial(users.keep_watch, stop), stop).start()
    endpoint = FunctionEndpoint(runner, worker_factory, users)
    deliveries = DeliveryThreads(runner.folders, runner.settings, stop).start()
    with (
        serve_rpc(runner.folders.history, RunHistoryEndpoint(runner.history).answer),
        serve_rpc(runner.folders.rpc_socket, endpoint.answer),
    ):
        run_scheduler(runner, engine_functions(), stop, watch_lake=True, beat=beat)
    watcher.join()
    deliveries.join(SENT_WITHIN_S)
    runner.flush()


if __name__ == "__main__":
    main()
