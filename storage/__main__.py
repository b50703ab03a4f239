"""The writer process: `python -m storage --data DIR`."""

import argparse
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from functools import partial

import duckdb
from watchfiles import watch

from storage.config.folder_access import paths_open_to_others
from storage.config.folders import Folders
from storage.config.process_setup import add_data_option, configured
from storage.config.settings import SettingsError, settings_in_force
from storage.lake.attach import ReadersBusy
from storage.lake.catalog_holder import hold_catalog_open
from storage.lake.maintenance import MaintenanceStep
from storage.lake.scrub import Scrub
from storage.lake.writer import DataFolderNotWritable, Writer, WriterRunning
from storage.platform import logs
from storage.platform.heartbeat import Heartbeat
from storage.platform.private_files import mode_of, restrict_new_files
from storage.platform.process import raise_descriptor_limit, restart, stop_on_signals
from storage.platform.threads import run_supervised

log = logging.getLogger("storage.__main__")

MAINTENANCE_EVERY_S = 300.0
# The inbox is read this often even if the file watcher reports nothing.
POLL_EVERY_MS = 1_000
CHECK_AT_MOST_S = 0.2  # between two commits
RETRY_AFTER_S = 2.0


def main() -> None:
    """Run until SIGTERM or SIGINT; restart the process when the settings name another lake."""
    parser = argparse.ArgumentParser(description="Commit segments to the lake.")
    add_data_option(parser)
    logs.add_options(parser)
    arguments = parser.parse_args()
    data = arguments.data
    restrict_new_files()
    logs.configure("writer", arguments.log_level, arguments.log_format)
    raise_descriptor_limit()
    stop = stop_on_signals()
    run_supervised("writer", partial(run_writer, Folders.at(data), stop), stop)


def run_writer(folders: Folders, stop: threading.Event) -> None:
    """Open the lake and commit until `stop` is set; exits when a person has to act first.

    After an unexpected error it is called again, with a new writer: the old one may have cached
    rows of a commit that failed.
    """
    try:
        with configured():
            writer = Writer.open(folders.data)
    except (WriterRunning, DataFolderNotWritable) as error:
        log.critical("%s", error)
        sys.exit(1)
    with closing(writer):
        log.info("writing to %s", folders.lake)
        warn_of_open_paths(folders)
        with hold_catalog_open(folders):
            commit_loop(writer, folders, stop)
    if writer.lake_moved:
        restart()


def warn_of_open_paths(folders: Folders) -> None:
    """Log a warning if other users of this machine can reach what is in the data folder."""
    with suppress(SettingsError):
        path = next(paths_open_to_others(folders, settings_in_force(folders.data)), None)
        if path is not None:
            log.warning(
                "other users of this machine can reach %s (mode %o): 'hoursight doctor --fix' "
                "closes the data folder", path, mode_of(path),
            )  # fmt: skip


def commit_loop(writer: Writer, folders: Folders, stop: threading.Event) -> None:
    """Commit segments as they arrive, with maintenance steps between, until `stop` is set."""
    # Monotonic: the clock may be set meanwhile.
    last_round = time.monotonic()
    steps: Iterator[MaintenanceStep] = iter(())
    scrub = Scrub(folders, writer.damage, datetime.now(UTC))
    beat = Heartbeat(folders.heartbeats, "writer").beat
    commit_all(writer, stop, beat)
    for _ in watch(
        folders.inbox, stop_event=stop, debounce=20, step=10, rust_timeout=POLL_EVERY_MS,
        yield_on_timeout=True, raise_interrupt=False,
    ):  # fmt: skip
        commit_all(writer, stop, beat)
        if writer.lake_moved:
            log.info("settings changed: restarting")
            stop.set()
        if time.monotonic() - last_round >= MAINTENANCE_EVERY_S:
            last_round = time.monotonic()
            steps = writer.maintenance_steps(datetime.now(UTC))
        if not stop.is_set():
            run_next_step(steps, writer)
            check_files(scrub, writer)


def commit_all(
    writer: Writer, stop: threading.Event, beat: Callable[[], None] = lambda: None
) -> None:
    """Commit until the inbox is empty or a commit fails; its segments then stay in the inbox."""
    while not stop.is_set():
        beat()
        try:
            result = writer.commit_waiting(datetime.now(UTC))
        except (duckdb.Error, OSError) as error:
            problem = writer.diagnose(error)
            log.error("commit failed, the segments stay in the inbox: %s", problem)
            stop.wait(RETRY_AFTER_S)
            return
        for each in result.rejected:
            log.warning("rejected %s: %s", each.path.name, each.reason)
        if not result.segments and not result.rejected and not result.repeated:
            return
        log.info("%s", ", ".join(f"{count} {name}" for name, count in result.rows.items()))


def run_next_step(steps: Iterator[MaintenanceStep], writer: Writer) -> None:
    """Run the next step of maintenance; a step that fails is tried again in the next round."""
    try:
        step = next(steps, None)
        if step is not None:
            step()
    except ReadersBusy as error:
        log.info("merge postponed to the next maintenance, in 5 minutes: %s", error)
    except (duckdb.Error, OSError) as error:
        problem = writer.diagnose(error)
        log.error("maintenance failed, to be tried again in 5 minutes: %s", problem)


def check_files(scrub: Scrub, writer: Writer) -> None:
    """Check the files that readers have reported, and the one that is due in the scrub."""
    began = time.monotonic()
    try:
        if writer.damage.check_reported():
            scrub.hurry(began)
        while scrub.step(time.monotonic(), datetime.now(UTC)):
            if time.monotonic() - began > CHECK_AT_MOST_S:
                return
    except (duckdb.Error, OSError) as error:
        log.error("files could not be checked, to be tried again: %s", writer.diagnose(error))


if __name__ == "__main__":
    main()
