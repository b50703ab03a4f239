"""Warm start: decide once whether the loop learns from the history that a new lake came with.

The process `trainer` starts it, as a training of the cause `history`.
"""

from datetime import timedelta

import pyarrow as pa

from functions.engine.function import Batch, function
from functions.engine.triggers import every
from functions.engine.window import Window
from storage.config.settings import settings_in_force
from storage.model.schema import table

__all__ = ["warm_start"]

LEAST_HISTORY = timedelta(days=3)
# Commits of samples that are older than this are history that is being loaded …
OLD_AFTER = timedelta(hours=2)
# … and it is complete when none came for so long.
QUIET_FOR = timedelta(minutes=2)

_KNOWN = """
SELECT
    EXISTS (SELECT 1 FROM odds_models) AS fitted,
    EXISTS (SELECT 1 FROM trainings WHERE ends_with(training, '-history')) AS decided
"""
_LOADED = """
SELECT
    (SELECT min(ts) FROM metrics_5m) AS first,
    (SELECT min(issued_at) FROM forecasts WHERE p50 IS NOT NULL) AS live,
    (
        SELECT max(ts) FROM segments
        WHERE table_name IN ('metrics', 'metrics_5m') AND rows_committed > 0
            AND first_ts < created_at - $old
    ) AS loaded
"""


@function(on=every("1m"), writes="trainings")
def warm_start(window: Window) -> Batch:
    """Record that a warm start is due, once, when the history is loaded and forecasts are made."""
    known = window.sql(_KNOWN).to_pylist()[0]
    if known["fitted"] or known["decided"]:
        return Batch()
    folders = window.reader.folders
    if folders.own_model is not None or not settings_in_force(folders.data).training.automatic:
        return Batch()
    loaded = window.sql(_LOADED, old=OLD_AFTER).to_pylist()[0]
    first, live = loaded["first"], loaded["live"]
    if first is None or live is None or live - first < LEAST_HISTORY:
        return Batch()
    if loaded["loaded"] is not None and window.now - loaded["loaded"] < QUIET_FOR:
        return Batch()
    row = {
        "training": f"{window.now:%Y%m%d-%H%M%S}-history", "ts": window.now, "event": "due",
        "cause": "history",
        "reason": f"{(live - first) / timedelta(days=1):.1f} days of history, and no scores of it",
    }  # fmt: skip
    return Batch({"trainings": pa.Table.from_pylist([row], table("trainings").arrow)})
