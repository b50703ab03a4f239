"""Sparklines: which metric is drawn, its past, its forecast, and where that is left out."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from storage.model.grid import floor_step
from tests.web.display.test_server_status import status as make_status
from tests.web.site_lakes import LakeServer, SiteLakeWriter
from web.display.metric_display import display_of
from web.display.server_status import ScoreReason, ServerStatus
from web.display.sparklines import Series, Sparkline, read_series, shown_metric, sparkline
from web.lake_session import LakeSession

NOW = datetime.now(UTC)
FLAT = Series(np.full(48, 40, np.float32), np.full(16, 50, np.float32))


def status(**values: Any) -> ServerStatus:
    return replace(make_status(), **{"now": NOW, "last_seen": NOW} | values)


def read(lake: SiteLakeWriter, metric: str, later: timedelta = timedelta()) -> Series:
    lake.fleet([LakeServer("a"), LakeServer("b")], NOW)
    with LakeSession(lake.folders.data).snapshot() as reader:
        found = read_series(reader, [("a", metric)], NOW + later, floor_step(NOW))
    assert list(found) == [("a", metric)]
    return found["a", metric]


def rows_of(path: str) -> list[int]:
    return [int(point.split()[1]) for point in path[1:].split("L")]


def test_the_series_of_a_metric_has_a_day_and_eight_hours(lake: SiteLakeWriter) -> None:
    series = read(lake, "disk_usage_pct")
    assert len(series.past) == 48
    assert len(series.ahead) == 16
    assert not np.isnan(series.past).any()
    assert 30 < series.ahead.min() < 60


def test_half_hours_that_are_over_are_cut_from_the_forecast(lake: SiteLakeWriter) -> None:
    assert len(read(lake, "mem_used_pct", timedelta(hours=2)).ahead) == 12


def test_past_and_forecast_meet_at_the_present() -> None:
    line = sparkline(status(), display_of("mem_used_pct"), FLAT)
    assert line.past.startswith("M0 18")
    assert line.ahead.startswith("M96 15")
    assert line.last == 40


def test_cpu_used_is_drawn_not_cpu_idle() -> None:
    assert set(rows_of(sparkline(status(), display_of("cpu_idle_pct"), FLAT).past)) == {12}


@pytest.mark.parametrize(
    "changes",
    [{"forecast_state": "abstained"}, {"last_seen": NOW - timedelta(minutes=20)}],
    ids=["without forecast", "stale"],
)
def test_where_no_forecast_holds_only_the_past_is_drawn(changes: dict[str, object]) -> None:
    line = sparkline(status(**changes), display_of("mem_used_pct"), FLAT)
    assert line.past
    assert not line.ahead


def test_a_metric_without_an_upper_bound_is_drawn_up_to_its_critical_level() -> None:
    line: Sparkline = sparkline(status(), display_of("back_close_wait"), FLAT)
    assert line.level_row in (1, 2)
    assert min(rows_of(line.past)) > 20


def test_the_metric_likeliest_to_breach_is_drawn_else_that_of_the_strongest_reason() -> None:
    likely = status(breach_metric="disk_usage_pct", now_score=10.0, ahead_score=80.0)
    assert shown_metric(likely) == "disk_usage_pct"
    reason = (ScoreReason("swap_used_pct", 9.0, ""),)
    assert shown_metric(status(breach_metric=None, reasons=reason)) == "swap_used_pct"


@pytest.mark.parametrize("metric", [None, "gpu_used_pct"])
def test_without_such_a_metric_cpu_is_drawn(metric: str | None) -> None:
    reason = (ScoreReason(metric, 9.0, ""),)
    assert shown_metric(status(breach_metric=None, reasons=reason)) == "cpu_idle_pct"
