"""`hoursight warmstart`: let the loop learn once from the history that is in the lake."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from functions.engine.forecaster import SHIPPED, Forecaster, ModelUnusable
from functions.replay.replay import ReplayFailed
from functions.replay.warm_start import (
    AlreadyLearned,
    Past,
    WarmStartRefused,
    check,
    learned,
    read_past,
)
from scripts.cli.output import format_time
from scripts.cli.printer import say_lines
from scripts.cli.replay_progress import replay_progress
from scripts.cli.training import TrainingUnable, training_lock
from scripts.cli.training_log import TrainingLog
from storage.config.folders import Folders
from storage.inbox import segment
from storage.query.history import HistoryError
from storage.query.reader import LakeMissing, LakeUnreadable, Reader

__all__ = ["command", "learn"]

ROWS_A_SEGMENT = 250_000

Say = Callable[..., Any]


def command(data: Path, training: str | None, say: Say) -> int:
    """Learn and write it; return 0, also if there is nothing to learn, or 2 if it cannot be done.

    `training` is its id in the table `trainings`, from the trainer.
    """
    folders = Folders.at(data)
    log = TrainingLog(folders, training, "history")
    try:
        _learn_once(folders, log, say)
    except AlreadyLearned as error:
        say(str(error))
    except _REFUSALS as error:
        say_lines(f"hoursight: {error}", err=True)
        return 2
    return 0


_REFUSALS = (
    HistoryError, LakeMissing, LakeUnreadable, ModelUnusable, ReplayFailed, TrainingUnable,
    WarmStartRefused,
)  # fmt: skip


def _learn_once(folders: Folders, log: TrainingLog, say: Say) -> None:
    reader = Reader.open(folders.data)
    try:
        with training_lock(folders, "warm-start"), log.failures():
            _check(reader, log)
            past = read_past(reader)
            reader.close()  # a replay has a database of its own
            learn(folders, past, log, say)
    finally:
        reader.close()


def _check(reader: Reader, log: TrainingLog) -> None:
    try:
        check(reader)
    except AlreadyLearned as error:
        if log.due:
            log.ended("learned", str(error))
        raise


def learn(folders: Folders, past: Past, log: TrainingLog, say: Say) -> None:
    """Replay `past` and write what was learned, once it is complete. Raises ReplayFailed."""
    model = Forecaster.open(SHIPPED)
    log.started(model.hash)
    first, last = past.history.span
    count, began = len(past.history.servers), time.monotonic()
    say(f"replaying {count} servers, {format_time(first)} to {format_time(last)}")
    with replay_progress() as on_step:

        def on(done: int, total: int) -> None:
            on_step(done, total)
            log.progressed(done / total)

        tables = learned(past, model, folders, on)
    _write(folders, tables, model.hash)
    reason = _outcome(count, tables, time.monotonic() - began)
    log.ended("learned", reason, model=model.hash, progress=1.0)
    say(reason)


def _write(folders: Folders, tables: dict[str, pa.Table], model: str) -> None:
    """Write all rows as segments; the writer takes them in the order of their times."""
    for name, rows in tables.items():
        for start in range(0, rows.num_rows, ROWS_A_SEGMENT):
            now = datetime.now(UTC)
            provenance = segment.Provenance(name, "warm_start", now, model=model)
            segment.write(folders, rows.slice(start, ROWS_A_SEGMENT), provenance)


def _outcome(servers: int, tables: dict[str, pa.Table], seconds: float) -> str:
    models = tables["odds_models"].to_pylist()
    newest = max((row["ts"] for row in models), default=None)
    fits = [row for row in models if row["ts"] == newest]
    events = max((row["events"] for row in fits if row["kind"] == "calibration"), default=0)
    trend = any(row["serves"] for row in fits if row["kind"] == "trend")
    return (
        f"learned from the history of {servers} servers in {seconds:.0f} s: {events} breaches, "
        f"{tables['scores'].num_rows:,} scores; the trend head {'serves' if trend else 'waits'}"
    )
