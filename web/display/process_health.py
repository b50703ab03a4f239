"""Processes that run but do not respond: stopped by a signal, or with a main loop that waits."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from storage.config.folders import Folders
from storage.model.severity import AlertLevel
from storage.platform.heartbeat import heartbeats
from storage.platform.process_usage import is_stopped, running_since
from web.display import formatting
from web.display.problems import MISSING, Problem

__all__ = ["process_health"]

# Longer than a forecast of a large fleet takes.
SILENT = timedelta(minutes=3)


def process_health(
    processes: Iterable[Mapping[str, Any]], folders: Folders, now: datetime
) -> Iterator[Problem]:
    """Yield a problem for each process of this host that runs but does not respond.

    `processes` are the rows of the query `telemetry_processes`.
    """
    beats = heartbeats(folders.heartbeats)
    for row in processes:
        name, began = row["process"], _running_since(row)
        if began is None:
            continue
        if is_stopped(row["pid"]):
            yield _problem(
                name, f"{name} is stopped by a signal (process {row['pid']})",
                f"To let it go on: kill -CONT {row['pid']}",
            )  # fmt: skip
        elif name in beats:
            last = max(began, datetime.fromtimestamp(beats[name], UTC))
            if now - last > SILENT:
                silent = formatting.duration((now - last).total_seconds())
                yield _problem(
                    name, f"{name} has not responded for {silent} (process {row['pid']})",
                    f"To have it started again: kill {row['pid']}; if it does not end, kill -9. "
                    "Nothing that was accepted is lost.",
                )  # fmt: skip


def _running_since(row: Mapping[str, Any]) -> datetime | None:
    """The start of the logged process; None if it does not run on this host."""
    return running_since(row["pid"], row["ts"]) if row["event"] == "started" else None


def _problem(name: str, headline: str, remedy: str) -> Problem:
    missing = MISSING.get(name, "its work is delayed")
    return Problem(
        f"process-{name}", AlertLevel.CRITICAL, headline, f"Meanwhile {missing}. {remedy}"
    )
