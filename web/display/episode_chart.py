"""Chart of an episode: the forecast when it opened, over what came, as paths of an SVG."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

from storage.model.grid import HORIZON_STEPS, QUANTILE_COLUMNS, STEP, floor_step
from web.display.svg import Values, band_path, line_path, rows_of

__all__ = ["AFTER", "BEFORE", "HEIGHT", "EpisodeChart", "episode_chart"]

BEFORE, AFTER = timedelta(hours=6), HORIZON_STEPS * STEP
STEPS = int(BEFORE / STEP) + HORIZON_STEPS
HEIGHT = 160  # pixels; one step is one unit wide
TICK_HOURS = 2
TICK_MARGIN_STEPS = 4  # a label closer to an end would be cut off
# Widest first, so that the narrower ones are drawn over it.
BANDS = tuple(zip(QUANTILE_COLUMNS[:3], QUANTILE_COLUMNS[:3:-1], strict=True))


@dataclass(frozen=True, slots=True)
class EpisodeChart:
    """Paths of a chart of STEPS by HEIGHT units; without a forecast `median` is empty.

    `opened` is the position of the opening [steps], `level` the row of the level (None: there is
    none), `ticks` have positions and labels of full hours.
    """

    measured: str
    median: str
    bands: tuple[str, ...]
    level: int | None
    opened: float
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]

    steps = STEPS
    height = HEIGHT

    @property
    def opened_percent(self) -> float:
        """The position of the opening in percent of the width."""
        return 100 * self.opened / STEPS


def episode_chart(
    metric: str, threshold: float | None, measured: pa.Table, forecast: pa.Table, opened: datetime
) -> EpisodeChart:
    """Draw one metric from 6 h before an episode opened to 8 h after it.

    `measured` has the columns `ts` and `METRIC_mean`, `forecast` has `ts` and a column for each
    quantile; each may be without rows.
    """
    start = floor_step(opened) - BEFORE
    past = _on_grid(measured, f"{metric}_mean", start)
    ahead = {name: _on_grid(forecast, name, start) for name in QUANTILE_COLUMNS}
    low, high = _range([past, *ahead.values()], threshold)
    rows = {name: rows_of(values, low, high, HEIGHT) for name, values in ahead.items()}
    first = next((i for i, row in enumerate(rows["p50"]) if row >= 0), STEPS)
    last = STEPS - next((i for i, row in enumerate(rows["p50"][::-1]) if row >= 0), STEPS)
    bands = [band_path(rows[a][first:last], rows[b][first:last], first) for a, b in BANDS]
    level = None if threshold is None else rows_of(np.array([threshold]), low, high, HEIGHT)[0]
    return EpisodeChart(
        line_path(rows_of(past, low, high, HEIGHT)), line_path(rows["p50"]),
        tuple(band for band in bands if band), level, (opened - start) / STEP, low, high,
        tuple(_ticks(start)),
    )  # fmt: skip


def _on_grid(table: pa.Table, column: str, start: datetime) -> Values:
    values = np.full(STEPS, np.nan, dtype=np.float32)
    if column not in table.column_names or not table.num_rows:
        return values
    seconds = table.column("ts").to_numpy().astype("datetime64[s]").astype(np.int64)
    steps = (seconds - int(start.timestamp())) // int(STEP.total_seconds())
    inside = (steps >= 0) & (steps < STEPS)
    values[steps[inside]] = table.column(column).to_numpy()[inside]
    return values


def _range(drawn: Sequence[Values], threshold: float | None) -> tuple[float, float]:
    """Return a range that shows all that is drawn and the level, with some room."""
    values = np.concatenate([*drawn, np.array([np.nan if threshold is None else threshold])])
    values = values[~np.isnan(values)]
    if not values.size:
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    room = 0.08 * (high - low) or 1.0
    return min(low, max(low - room, 0.0)), high + room


def _ticks(start: datetime) -> list[tuple[float, str]]:
    hour = start.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    hours = [hour + timedelta(hours=n) for n in range(14)]
    ticks = [((at - start) / STEP, f"{at:%H:%M}") for at in hours if at.hour % TICK_HOURS == 0]
    return [
        (step, label) for step, label in ticks
        if TICK_MARGIN_STEPS <= step <= STEPS - TICK_MARGIN_STEPS
    ]  # fmt: skip
