"""Training due: when a model is trained, and why it waits.

It is due when the loss stays high for 72 h (a change of clock or workload heals by itself within
three days), 30 days after the last training, or when a person requests it. It is never within 6 h
of the last one and never more than 3 times in 7 days, and waits for the quietest predicted hour of
the next 24 unless a person requested it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ENDED", "Cause", "Check", "Decision", "Training", "decide", "loss_is_high", "quietest_hour",
]  # fmt: skip

Cause = Literal["loss", "calendar", "person", "command"]

HIGH_FOR = timedelta(hours=72)
PERIOD = timedelta(days=30)
APART = timedelta(hours=6)
WEEK, MOST_A_WEEK = timedelta(days=7), 3
LONGEST_WAIT = timedelta(hours=24)
TRAINING_HOURS = 2
_LEAST_SHARE = 0.95  # of the checks of the 72 h that are drifting: a single one below ends nothing
_LEAST_CHECKS = 60
_QUIETER_BY = 1.0  # points of CPU: less is no reason to wait
ENDED = ("promoted", "refused", "failed", "cancelled")
WITH_TRAINER = ("due", "started", "progress", "unable")


@dataclass(frozen=True, slots=True)
class Check:
    """An hourly check of the fleet's loss."""

    ts: datetime
    drifting: bool


@dataclass(frozen=True, slots=True)
class Training:
    """A training by its rows: since when it is wanted, when it started, and its newest event."""

    training: str
    cause: Cause
    since: datetime
    started: datetime | None
    event: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The next row of `trainings`: `event` is due, postponed or cancelled."""

    training: str
    cause: Cause
    event: str
    reason: str


def decide(
    now: datetime,
    checks: Sequence[Check],
    trainings: Sequence[Training],
    learned_at: datetime | None,
    cpu: Callable[[], NDArray[np.float64]],
    automatic: bool = True,
) -> Decision | None:
    """Return what is to be recorded about the next training; None when nothing has changed.

    `checks` are those of the last 72 h, `trainings` the known ones by time, `learned_at` when the
    serving model was trained or came into use, and `cpu` returns the fleet's predicted CPU in each
    of the next 24 hours [%], NaN where unknown. Unless `automatic`, only a person makes one due.
    """
    # One that a person began by the command is theirs: it may have been interrupted for good.
    open_ones = [t for t in trainings if t.event not in ENDED and t.cause != "command"]
    waiting = open_ones[-1] if open_ones else None
    if waiting is not None and waiting.event in WITH_TRAINER:
        return None
    # One that failed before its start, as another training ran, is not tried again at once either.
    starts = [t.started or t.since for t in trainings if t.started or t.event == "failed"]
    wanted = _wanted(now, checks, waiting, max(starts, default=None), learned_at)
    if not automatic and wanted is not None and wanted[0] != "person":
        wanted = None
    if wanted is None:
        return None if waiting is None else _cancelled(waiting)
    cause, reason = wanted
    since = waiting.since if waiting else now
    why_later = _limit(now, starts)
    if why_later is None and cause != "person" and now - since < LONGEST_WAIT:
        why_later = _quieter(now, cpu())
    name = waiting.training if waiting else f"{now:%Y%m%d-%H%M%S}-{cause}"
    if why_later is None:
        return Decision(name, cause, "due", reason)
    decision = Decision(name, cause, "postponed", f"{reason}; {why_later}")
    known = waiting is not None and (waiting.event, waiting.reason) == (
        "postponed",
        decision.reason,
    )
    return None if known else decision


def loss_is_high(now: datetime, checks: Sequence[Check]) -> bool:
    """Return True if the fleet's loss was over its limit for the whole last 72 h."""
    recent = [check.drifting for check in checks if now - HIGH_FOR < check.ts <= now]
    return len(recent) >= _LEAST_CHECKS and sum(recent) >= _LEAST_SHARE * len(recent)


def quietest_hour(cpu: NDArray[np.float64]) -> int:
    """Return in how many hours a training of two hours disturbs least; 0 if now is as good."""
    length = len(cpu) - TRAINING_HOURS + 1
    spans = np.stack([cpu[place : place + length] for place in range(TRAINING_HOURS)])
    if not np.isfinite(spans).all(0).any():
        return 0
    means = np.where(np.isfinite(spans).all(0), spans.mean(0), np.inf)
    best = int(np.argmin(means))
    return 0 if means[0] <= means[best] + _QUIETER_BY else best


def _wanted(
    now: datetime,
    checks: Sequence[Check],
    waiting: Training | None,
    last: datetime | None,
    learned_at: datetime | None,
) -> tuple[Cause, str] | None:
    """Return the cause of a training, and its sentence."""
    if waiting is not None and waiting.cause == "person":
        return "person", "a person requested it"
    if (last is None or now - last >= HIGH_FOR) and loss_is_high(now, checks):
        return "loss", "the loss has been over its limit for 72 h"
    learned = max((ts for ts in (last, learned_at) if ts is not None), default=None)
    if learned is not None and now - learned >= PERIOD:
        return "calendar", f"the last training was {(now - learned).days} days ago"
    return None


def _cancelled(waiting: Training) -> Decision:
    reason = "the loss is back within its limit" if waiting.cause == "loss" else "it is not due"
    return Decision(waiting.training, waiting.cause, "cancelled", reason)


def _limit(now: datetime, starts: Sequence[datetime]) -> str | None:
    """Return why a training may not start now, with the time from which it may."""
    latest = sorted(starts)[-MOST_A_WEEK:]
    if latest and now - latest[-1] < APART:
        free = latest[-1] + APART
        return f"not before {free:%Y-%m-%d %H:%M} UTC, 6 h after the last training"
    if len(latest) == MOST_A_WEEK and now - latest[0] < WEEK:
        free = latest[0] + WEEK
        return f"not before {free:%Y-%m-%d %H:%M} UTC, at most 3 trainings in 7 days"
    return None


def _quieter(now: datetime, cpu: NDArray[np.float64]) -> str | None:
    hours = quietest_hour(cpu)
    if not hours:
        return None
    return f"waits for the quietest predicted hour, {now + timedelta(hours=hours):%a %H}:00 UTC"
