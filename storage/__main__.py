"""The keeper's process: `python -m storage --data DIR`."""

import argparse
import logging
import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
from watchfiles import watch

from storage.folders import Folders
from storage.keeper import Keeper
from storage.lake import ReadersBusy
from storage.process import log_plainly, until_told_to_stop

log = logging.getLogger("keeper")

TIDY_EVERY = timedelta(minutes=5)
# Without news from the watcher the inbox is looked at this often all the same.
LOOK_EVERY_MS = 1_000
RETRY_AFTER_S = 2.0


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description="Commit segments to the lake.")
    parser.add_argument("--data", type=Path, default=os.environ.get("HOURSIGHT_DATA", "var"))
    data = parser.parse_args().data
    log_plainly()
    stop = until_told_to_stop()
    keeper = Keeper.open(data)
    log.info("keeping %s", Folders.at(data).lake)
    keep(keeper, Folders.at(data).inbox, stop)
    keeper.close()


def keep(keeper: Keeper, inbox: Path, stop: threading.Event) -> None:
    """Commit as segments come and tidy up now and then, until `stop` is set."""
    tidied = datetime.now(UTC)
    drain(keeper, stop)
    for _ in watch(
        inbox, stop_event=stop, debounce=20, step=10, rust_timeout=LOOK_EVERY_MS,
        yield_on_timeout=True, raise_interrupt=False,
    ):  # fmt: skip
        drain(keeper, stop)
        if datetime.now(UTC) - tidied >= TIDY_EVERY:
            tidied = datetime.now(UTC)
            tidy(keeper)


def drain(keeper: Keeper, stop: threading.Event) -> None:
    """Commit until the inbox is empty; what cannot be committed now stays there for later."""
    while not stop.is_set():
        try:
            done = keeper.commit_waiting(datetime.now(UTC))
        except (duckdb.Error, OSError) as error:
            log.error("nothing was committed, the segments stay in the inbox: %s", error)
            stop.wait(RETRY_AFTER_S)
            return
        for each in done.rejected:
            log.warning("rejected %s: %s", each.path.name, each.reason)
        if not done.segments and not done.rejected and not done.repeated:
            return
        log.info("%s", ", ".join(f"{count} {name}" for name, count in done.rows.items()))


def tidy(keeper: Keeper) -> None:
    """Maintenance may fail, say on a full disk; the next round tries again."""
    try:
        keeper.tidy(datetime.now(UTC))
    except ReadersBusy as error:
        log.info("merging waits for the next round: %s", error)
    except (duckdb.Error, OSError) as error:
        log.error("could not tidy up, will try again in 5 minutes: %s", error)


if __name__ == "__main__":
    main()
