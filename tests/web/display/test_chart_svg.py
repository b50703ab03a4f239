"""The SVG drawing of a chart; it has the numbers of the JSON that uPlot draws."""

from datetime import UTC, datetime

import numpy as np
import pytest

from storage.model.grid import QUANTILE_COLUMNS
from tests.web.conftest import Client
from web.display.chart_svg import PLOT_HEIGHT, chart_svg
from web.display.charts import Axis, Chart
from web.display.metric_display import display_of
from web.display.spans import usual_span
from web.display.svg import Values

NOW = datetime(2026, 3, 1, tzinfo=UTC)
AXIS = Axis(usual_span(NOW), NOW, issued=2)


def chart(measured: list[float], quantiles: dict[str, Values], **levels: float) -> Chart:
    values = np.array(measured, dtype=np.float32)
    return Chart(display_of("mem_used_pct"), values, quantiles, 0, 100, levels, None, "")


def quantiles(value: float) -> dict[str, Values]:
    return {name: np.full(2, value + i, np.float32) for i, name in enumerate(QUANTILE_COLUMNS)}


def test_the_measured_line_keeps_its_gaps() -> None:
    drawn = chart_svg(chart([0, float("nan"), 100, 100], {}), AXIS)
    assert drawn.measured == f"M0 {PLOT_HEIGHT}h0M2 0L3 0"


def test_without_a_forecast_there_is_no_median_and_no_band() -> None:
    drawn = chart_svg(chart([50], {}), AXIS)
    assert (drawn.median, drawn.bands) == ("", ())


def test_the_forecast_begins_at_the_step_at_which_it_was_issued() -> None:
    drawn = chart_svg(chart([50], quantiles(40)), AXIS)
    assert drawn.median.startswith("M2 ")
    assert len(drawn.bands) == 3
    assert all(band.startswith("M2 ") and band.endswith("Z") for band in drawn.bands)


def test_level_lines_have_their_pixel_rows() -> None:
    drawn = chart_svg(chart([50], {}, warn=75, critical=100), AXIS)
    assert drawn.levels == {"warn": PLOT_HEIGHT // 4, "critical": 0}


@pytest.mark.parametrize("server", ["web-07.shop", "kafka-2"])
def test_the_svg_of_the_page_has_as_many_points_as_the_json(client: Client, server: str) -> None:
    page = client.get(f"/servers/{server}").text
    for each in client.get(f"/charts/{server}").json()["charts"]:
        figure = page.split(f'data-metric="{each["name"]}"')[1].split("</figure>")[0]
        path = figure.split('class="measured" d="')[1].split('"')[0]
        points = path.count("M") + path.count("L")
        assert points == sum(value is not None for value in each["measured"])
