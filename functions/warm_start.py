"""Warm start: decide when the loop learns from the history that a new lake came with.

The process `trainer` starts it, as a training of the cause `history`. It is learned from once; an
attempt that failed is repeated, more and more rarely.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pyarrow as pa

from functions.engine.function import Batch, function
from functions.engine.triggers import every
from functions.engine.window import Window
from functions.rules.defaults import LEAST_EVENTS
from functions.rules.warm_start_attempts import Attempt, next_attempt_at
from storage.config.settings import settings_in_force
from storage.model.schema import table

__all__ = ["ATTEMPTS", "KNOWS_BREACHES", "warm_start"]

LEAST_HISTORY = timedelta(days=3)
# Of the 8 days that are replayed, so many must be from before the first forecasts.
LONGEST_LIVE = timedelta(days=8) - LEAST_HISTORY
# Commits of samples that are older than this are history that is being loaded …
OLD_AFTER = timedelta(hours=2)
# … and it is complete when none came for so long.
QUIET_FOR = timedelta(minutes=2)

# A lake that gets its history late has fits of its own, on few breaches: they teach less.
KNOWS_BREACHES = f"""
SELECT coalesce(max(events) FILTER (kind = 'calibration') >= {LEAST_EVENTS}, count(*) > 0) AS fitted
FROM odds_models
"""
ATTEMPTS = """
SELECT training, arg_max(event, ts) AS event, max(ts) AS ts, arg_max(cause, ts) AS cause,
    arg_max(reason, ts) AS reason
FROM trainings WHERE ends_with(training, '-history') AND ts <= $now GROUP BY training
"""
_LOADED = """
SELECT
    (SELECT min(ts) FROM metrics_5m) AS first,
    (SELECT min(issued_at) FROM forecasts WHERE p50 IS NOT NULL) AS live,
    (SELECT min(created_at) FROM segments WHERE table_name = 'forecasts') AS began,
    (
        SELECT max(ts) FROM segments
        WHERE table_name IN ('metrics', 'metrics_5m') AND rows_committed > 0
            AND first_ts < created_at - $old
    ) AS loaded
"""


@function(on=every("1m"), writes="trainings")
def warm_start(window: Window) -> Batch:
    """Record that a warm start is due, when the history is loaded and forecasts are made."""
    attempts = [Attempt(**row) for row in window.sql(ATTEMPTS, now=window.now).to_pylist()]
    may_begin = next_attempt_at(attempts, window.now)
    if (
        may_begin is None
        or window.now < may_begin
        or window.sql(KNOWS_BREACHES)["fitted"][0].as_py()
    ):
        return Batch()
    folders = window.reader.folders
    if folders.own_model is not None or not settings_in_force(folders.data).training.automatic:
        return Batch()
    history = _history(window)
    if history is None:
        return Batch()
    row = {
        "training": f"{window.now:%Y%m%d-%H%M%S}-history", "ts": window.now, "event": "due",
        "cause": "history", "reason": _reason(history, attempts, window.now),
    }  # fmt: skip
    return Batch({"trainings": pa.Table.from_pylist([row], table("trainings").arrow)})


def _history(window: Window) -> timedelta | None:
    """Return how much history is from before the first forecasts; None: too little, or not yet."""
    loaded = window.sql(_LOADED, old=OLD_AFTER).to_pylist()[0]
    first, live = loaded["first"], loaded["live"]
    if first is None or live is None:
        return None
    began = min(live, loaded["began"] or live)
    if began - first < LEAST_HISTORY or window.now - began > LONGEST_LIVE:
        return None
    if loaded["loaded"] is not None and window.now - loaded["loaded"] < QUIET_FOR:
        return None
    history: timedelta = began - first
    return history


def _reason(history: timedelta, attempts: Sequence[Attempt], now: datetime) -> str:
    reason = f"{history / timedelta(days=1):.1f} days of history, and no scores of it"
    if not attempts:
        return reason
    last = max(attempts, key=lambda attempt: attempt.ts)
    ago = round((now - last.ts) / timedelta(minutes=1))
    return f"{reason}; another attempt, as that of {ago} min ago failed: {last.reason}"
