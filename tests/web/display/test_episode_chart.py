"""The chart of an episode: what was forecast when it opened, over what came."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from storage.model.grid import QUANTILE_COLUMNS
from web.display.episode_chart import HEIGHT, episode_chart

OPENED = datetime(2026, 5, 6, 1, 12, tzinfo=UTC)
STEP = OPENED.replace(minute=10)
NOTHING = pa.table({"ts": pa.array([], pa.timestamp("us", "UTC"))})


def times(first: int, last: int) -> list[datetime]:
    return [STEP + timedelta(minutes=5 * step) for step in range(first, last)]


def test_it_has_what_was_measured_and_what_was_forecast_then() -> None:
    measured = pa.table({"ts": times(-20, 30), "m_mean": np.linspace(40, 60, 50, dtype="f4")})
    quantiles = {name: [50.0 + place] * 96 for place, name in enumerate(QUANTILE_COLUMNS)}
    chart = episode_chart("m", 95.0, measured, pa.table({"ts": times(0, 96), **quantiles}), OPENED)
    assert chart.measured.startswith("M52 ")
    assert "L101 " in chart.measured
    assert chart.median.startswith("M72 ")
    assert [band.count("L") for band in chart.bands] == [191, 191, 191]
    assert round(chart.opened, 1) == 72.4
    assert chart.high > 95
    assert 0 < (chart.level or 0) < HEIGHT
    assert chart.ticks[0] == (10.0, "20:00")


def test_a_gap_stays_a_gap_and_the_range_reaches_a_level_below() -> None:
    measured = pa.table({"ts": [*times(0, 2), *times(4, 6)], "m_mean": [70.0, 71.0, 72.0, 71.0]})
    chart = episode_chart("m", 8.0, measured, NOTHING, OPENED)
    assert chart.measured.count("M") == 2
    assert chart.low < 8 < chart.high
    assert (chart.median, chart.bands) == ("", ())


def test_without_anything_it_is_empty_and_has_a_range() -> None:
    chart = episode_chart("own<x>", None, NOTHING, NOTHING, OPENED)
    assert (chart.measured, chart.median, chart.level) == ("", "", None)
    assert chart.high > chart.low
