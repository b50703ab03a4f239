"""The writer's process: `python -m storage --data DIR`."""

import argparse
import logging
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from functools import partial

import duckdb
from watchfiles import watch

from storage.config.folders import Folders
from storage.config.process_setup import add_data_option, configured
from storage.lake.attach import ReadersBusy
from storage.lake.catalog_holder import hold_catalog_open
from storage.lake.maintenance import MaintenanceStep
from storage.lake.writer import DataFolderNotWritable, Writer, WriterRunning
from storage.platform import logs
from storage.platform.process import restart, stop_on_signals
from storage.platform.threads import run_supervised

log = logging.getLogger("storage.__main__")

UPKEEP_EVERY_S = 300.0
# Without news from the watcher the inbox is looked at this often all the same.
LOOK_EVERY_MS = 1_000
RETRY_AFTER_S = 2.0


def main() -> None:
    """Run until SIGTERM or SIGINT; when the settings name another lake the process restarts."""
    parser = argparse.ArgumentParser(description="Commit segments to the lake.")
    add_data_option(parser)
    logs.add_options(parser)
    arguments = parser.parse_args()
    data = arguments.data
    logs.configure("writer", arguments.log_level, arguments.log_format)
    stop = stop_on_signals()
    run_supervised("writer", partial(open_and_keep, Folders.at(data), stop), stop)


def open_and_keep(folders: Folders, stop: threading.Event) -> None:
    """Open the lake and commit until `stop` is set; exits where a person has to act first.

    After an unforeseen error it is called again: a writer that is opened anew remembers nothing of
    a commit that it has left halfway.
    """
    try:
        with configured():
            writer = Writer.open(folders.data)
    except (WriterRunning, DataFolderNotWritable) as error:
        sys.exit(f"ERROR {error}")
    with closing(writer):
        log.info("keeping %s", folders.lake)
        with hold_catalog_open(folders):
            keep(writer, folders, stop)
    if writer.lake_moved:
        restart()


def keep(writer: Writer, folders: Folders, stop: threading.Event) -> None:
    """Commit as segments come, with a piece of maintenance between, until `stop` is set."""
    # Of monotonic time: the clock may be set while we run.
    upkept = time.monotonic()
    pieces: Iterator[MaintenanceStep] = iter(())
    drain(writer, stop)
    for _ in watch(
        folders.inbox, stop_event=stop, debounce=20, step=10, rust_timeout=LOOK_EVERY_MS,
        yield_on_timeout=True, raise_interrupt=False,
    ):  # fmt: skip
        drain(writer, stop)
        if writer.lake_moved:
            log.info("settings changed: restarting")
            stop.set()
        if time.monotonic() - upkept >= UPKEEP_EVERY_S:
            upkept = time.monotonic()
            pieces = iter(writer.maintenance_steps(datetime.now(UTC)))
        look_after(pieces, writer, stop)


def drain(writer: Writer, stop: threading.Event) -> None:
    """Commit until the inbox is empty; what cannot be committed now stays there for later."""
    while not stop.is_set():
        try:
            done = writer.commit_waiting(datetime.now(UTC))
        except (duckdb.Error, OSError) as error:
            trouble = writer.diagnose(error)
            log.error("nothing was committed, the segments stay in the inbox: %s", trouble)
            stop.wait(RETRY_AFTER_S)
            return
        for each in done.rejected:
            log.warning("rejected %s: %s", each.path.name, each.reason)
        if not done.segments and not done.rejected and not done.repeated:
            return
        log.info("%s", ", ".join(f"{count} {name}" for name, count in done.rows.items()))


def look_after(pieces: Iterable[MaintenanceStep], writer: Writer, stop: threading.Event) -> None:
    """Do the next piece of maintenance; it may fail, and the next round tries again."""
    if stop.is_set():
        return
    try:
        for piece in pieces:
            piece()
            return
    except ReadersBusy as error:
        log.info("merging waits for the next round: %s", error)
    except (duckdb.Error, OSError) as error:
        trouble = writer.diagnose(error)
        log.error("maintenance waits for the next round, in 5 minutes: %s", trouble)


if __name__ == "__main__":
    main()
