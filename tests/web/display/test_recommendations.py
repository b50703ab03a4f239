"""The recommended next step of a server."""

from datetime import timedelta

import pytest

from storage.model.metrics import METRIC_NAMES
from storage.model.next_steps import NEXT_STEPS
from tests.web.display.test_server_status import NOW, status
from web.display.recommendations import next_step, worst_metric

MEMORY = {"metric": "mem_used_pct", "points": 48.0, "text": "memory"}
NETWORK = {"metric": None, "points": 50.0, "text": "several metrics"}


def test_the_forecast_breach_is_worst_when_the_forecast_score_is_higher() -> None:
    server = status(ahead_score=90.0, breach_metric="disk_usage_pct", reasons=[MEMORY])
    assert worst_metric(server) == "disk_usage_pct"


def test_the_strongest_reason_with_a_metric_is_worst_when_the_present_score_is_higher() -> None:
    server = status(now_score=90.0, breach_metric="disk_usage_pct", reasons=[NETWORK, MEMORY])
    assert worst_metric(server) == "mem_used_pct"


def test_without_reasons_and_breach_no_metric_is_worst() -> None:
    assert worst_metric(status()) is None


def test_a_server_that_needs_no_action_has_no_next_step() -> None:
    assert next_step(status(reasons=[MEMORY])) == ""


def test_the_next_step_is_that_of_the_worst_metric() -> None:
    server = status(now_score=90.0, reasons=[MEMORY])
    assert next_step(server) == NEXT_STEPS["mem_used_pct"]
    assert next_step(status(now_score=90.0)).startswith("Check the reasons")


def test_a_stale_server_gets_a_check_of_its_host_first() -> None:
    server = status(last_seen=NOW - timedelta(hours=1), now_score=90.0, reasons=[MEMORY])
    assert next_step(server).startswith("Check whether the host answers")


@pytest.mark.parametrize("metric", [name for name in METRIC_NAMES if name != "uptime_days"])
def test_each_metric_with_levels_has_a_sentence(metric: str) -> None:
    assert NEXT_STEPS[metric].endswith(".")
