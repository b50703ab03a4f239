"""Roll-ups: mean, max and count of each metric in 5-minute steps."""

from datetime import UTC, datetime, timedelta

from functions.engine.function import Batch, function
from functions.engine.triggers import every, rows
from functions.engine.window import Window
from storage.model.grid import floor_step

# Samples of the last seconds of a step may arrive after it has ended.
SETTLE = timedelta(seconds=8)
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


@function(on=(rows("metrics", pause="10s"), every("1m")), writes="metrics_5m")
def rollup(window: Window, cursor: str | None) -> Batch:
    """Roll up the complete steps that new samples touched, late ones included."""
    since = datetime.fromisoformat(cursor) if cursor else BEGINNING
    until = floor_step(window.now - SETTLE)
    steps, reached = window.rollup(since, until)
    if not steps.num_rows:
        return Batch()
    return Batch({"metrics_5m": steps}, cursor=reached.isoformat(), window_key=until.isoformat())
