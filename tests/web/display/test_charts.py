"""The chart model of a server: axis, ranges, bands and JSON."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from storage.model.grid import CONTEXT_STEPS, HORIZON_STEPS, QUANTILE_COLUMNS
from storage.model.metrics import METRIC_NAMES, Levels
from web.display.charts import BANDS, Axis, Chart, ServerCharts, server_charts
from web.display.metric_display import displayed_levels
from web.display.spans import Span, usual_span

NOW = datetime(2026, 3, 1, 2, 13, tzinfo=UTC)
START = datetime(2026, 2, 28, 2, 10, tzinfo=UTC)


def history(**values: list[float]) -> pa.Table:
    """Means of the metrics in VALUES, from START on; all others are 1."""
    n = max((len(v) for v in values.values()), default=1)
    times = [START + i * timedelta(minutes=5) for i in range(n)]
    columns = {f"{name}_mean": values.get(name, [1.0] * n) for name in METRIC_NAMES}
    return pa.table({"ts": pa.array(times, pa.timestamp("us", "UTC")), **columns})


def forecast(metric: str, lowest: float) -> list[Mapping[str, Any]]:
    """A forecast whose quantiles are LOWEST, LOWEST + 1 and so on."""
    lists = {name: [lowest + i] * HORIZON_STEPS for i, name in enumerate(QUANTILE_COLUMNS)}
    return [{"metric": metric, "issued_at": NOW - timedelta(minutes=3), **lists}]


def charts(past: pa.Table, ahead: list[Mapping[str, Any]] = [], **levels: Levels) -> ServerCharts:  # noqa: B006
    return server_charts(past, ahead, {}, levels, NOW)


def chart(drawn: ServerCharts, name: str) -> Chart:
    return next(each for each in drawn.charts if each.display.name == name)


def test_the_axis_begins_24_hours_ago_and_has_both_periods() -> None:
    axis = charts(history()).axis
    assert axis.start == START
    assert axis.steps == CONTEXT_STEPS + 1 + HORIZON_STEPS
    assert axis.now_step == pytest.approx(288.6)
    assert axis.issued is None


def test_ticks_are_every_six_hours_and_not_at_the_ends_of_the_axis() -> None:
    axis = Axis(usual_span(NOW), NOW, None)
    assert [tick.label for tick in axis.ticks] == ["06:00", "12:00", "18:00", "00:00", "06:00"]
    assert axis.ticks[0].step == 46
    at = datetime(2026, 2, 28, 5, 30, tzinfo=UTC)
    shifted = Axis(Span(at, at + timedelta(hours=32, minutes=5)), NOW, None)
    assert shifted.ticks[0].label == "12:00"


def test_measured_values_are_on_the_grid_and_missing_steps_are_gaps() -> None:
    measured = chart(charts(history(mem_used_pct=[10.0, 20.0])), "mem_used_pct").measured
    assert list(measured[:2]) == [10, 20]
    assert np.isnan(measured[2:]).all()


def test_rows_before_the_start_are_left_out() -> None:
    past = history(mem_used_pct=[10.0])
    early = past.set_column(0, "ts", pa.array([START - timedelta(minutes=5)], past["ts"].type))
    assert np.isnan(chart(charts(early), "mem_used_pct").measured).all()


def test_cpu_idle_is_displayed_as_cpu_used_with_quantiles_in_order() -> None:
    drawn = chart(
        charts(history(cpu_idle_pct=[70.0]), forecast("cpu_idle_pct", 60)), "cpu_idle_pct"
    )
    assert drawn.measured[0] == 30
    assert [drawn.quantiles[name][0] for name in QUANTILE_COLUMNS] == [34, 35, 36, 37, 38, 39, 40]


def test_the_widest_band_does_not_stretch_the_range() -> None:
    ahead = dict(forecast("net_in_mb_s", 5)[0])
    ahead["p98"] = [5_000.0] * HORIZON_STEPS
    drawn = chart(charts(history(net_in_mb_s=[10.0]), [ahead]), "net_in_mb_s")
    assert (drawn.low, drawn.high) == (0, 20)


def test_a_level_above_the_range_is_not_drawn() -> None:
    low = chart(charts(history(load_average=[1.0]), load_average=Levels(8, 16)), "load_average")
    assert low.levels == {}
    high = chart(charts(history(load_average=[4.0]), load_average=Levels(8, 16)), "load_average")
    assert high.levels == {"warn": 8, "critical": 16}


def test_the_newest_value_has_the_level_that_it_has_reached() -> None:
    levels = displayed_levels("generic", 8)
    drawn = server_charts(history(), [], {"cpu_idle_pct": 0.5}, levels, NOW)
    assert (chart(drawn, "cpu_idle_pct").value, chart(drawn, "cpu_idle_pct").band) == (
        99.5, "critical",
    )  # fmt: skip


def test_the_json_has_the_axis_the_bands_and_null_for_gaps() -> None:
    data = charts(history(mem_used_pct=[10.126]), forecast("mem_used_pct", 8)).as_json()
    assert (data["start"], data["step"], data["issued"]) == (int(START.timestamp()), 300, 288)
    assert data["ticks"][0] == {"at": int(START.timestamp()) + 46 * 300, "label": "06:00"}
    assert [band["percent"] for band in data["bands"]] == [96, 80, 50]
    memory = next(each for each in data["charts"] if each["name"] == "mem_used_pct")
    assert memory["measured"][:2] == [10.13, None]
    assert memory["ahead"][data["median"]][0] == 11


def test_a_band_names_the_share_of_cases_between_its_quantiles() -> None:
    assert [(band.low, band.percent) for band in BANDS] == [("p02", 96), ("p10", 80), ("p25", 50)]


def test_one_chart_can_be_first_and_the_others_keep_their_order() -> None:
    drawn = charts(history())
    names = [each.display.name for each in drawn.with_first("uptime_days").charts]
    assert names[0] == "uptime_days"
    assert names[1:] == [c.display.name for c in drawn.charts if c.display.name != "uptime_days"]
