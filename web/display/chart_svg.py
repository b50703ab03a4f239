"""SVG drawing of a chart: the paths and positions that the page shows without JavaScript."""

from dataclasses import dataclass

import numpy as np

from web.display.charts import BANDS, MEDIAN, Axis, Chart
from web.display.svg import Values, band_path, line_path, rows_of

__all__ = ["PLOT_HEIGHT", "ChartSvg", "chart_svg"]

PLOT_HEIGHT = 120  # pixels; one step of the axis is one unit wide


@dataclass(frozen=True, slots=True)
class ChartSvg:
    """Path data of the lines and bands, widest first, and the pixel row of each level line."""

    measured: str
    median: str
    bands: tuple[str, ...]
    levels: dict[str, int]


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
    )


def _rows(chart: Chart, values: Values) -> list[int]:
    return rows_of(values, chart.low, chart.high, PLOT_HEIGHT)
