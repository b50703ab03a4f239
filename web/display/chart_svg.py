"""SVG drawing of a chart: the paths and positions that the page shows without JavaScript."""

from dataclasses import dataclass

import numpy as np

from web.display.charts import BANDS, MEDIAN, OVERLAY_BAND, Axis, Chart, Series
from web.display.svg import Values, band_path, line_path, rows_of

__all__ = ["PLOT_HEIGHT", "ChartSvg", "chart_svg"]

PLOT_HEIGHT = 120  # pixels; one step of the axis is one unit wide


@dataclass(frozen=True, slots=True)
class ChartSvg:
    """Path data of the lines and bands, widest first, and the pixel row of each level line.

    `spread` are the areas between the least and the largest mean of wide steps, `overlays` the band
    and the median of forecasts that are drawn over the others, by kind.
    """

    measured: str
    median: str
    bands: tuple[str, ...]
    levels: dict[str, int]
    spread: str
    overlays: dict[str, tuple[str, str]]


def chart_svg(chart: Chart, axis: Axis) -> ChartSvg:
    """Draw a chart; without a forecast its median is empty and there are no bands."""
    first = axis.issued or 0
    rows = {name: _rows(chart, values) for name, values in chart.quantiles.items()}
    bands = [band_path(rows[b.low], rows[b.high], first) for b in BANDS] if rows else []
    level_rows = _rows(chart, np.array(list(chart.levels.values()), dtype=np.float32))
    return ChartSvg(
        measured=line_path(_rows(chart, chart.measured)),
        median=line_path(rows[MEDIAN], first) if rows else "",
        bands=tuple(bands),
        levels=dict(zip(chart.levels, level_rows, strict=True)),
        spread=_spread(chart),
        overlays={each.kind: _overlay(chart, each.series) for each in chart.overlays},
    )


def _spread(chart: Chart) -> str:
    """Return a bar for each step, so that gaps stay gaps."""
    if chart.spread is None:
        return ""
    low, high = (_rows(chart, values) for values in chart.spread)
    pairs = zip(low, high, strict=True)
    return "".join(
        f"M{step} {bottom}V{top}" for step, (bottom, top) in enumerate(pairs) if bottom >= 0
    )


def _overlay(chart: Chart, series: Series) -> tuple[str, str]:
    rows = {name: _rows(chart, values) for name, values in series.quantiles.items()}
    band = band_path(rows[OVERLAY_BAND.low], rows[OVERLAY_BAND.high], series.first)
    return band, line_path(rows[MEDIAN], series.first)


def _rows(chart: Chart, values: Values) -> list[int]:
    return rows_of(values, chart.low, chart.high, PLOT_HEIGHT)
