"""How far the forecasts of a server can be trusted, in words."""

from typing import Any

import pytest

from web.display.metric_display import METRIC_DISPLAYS, display_of
from web.display.server_trust import MetricTrust, server_trust


def forecast(metric: str, **changed: Any) -> dict[str, Any]:
    row = {"metric": metric, "state": "ok", "why": None, "context_steps": 288, "leading": "model"}
    return row | {"model": "abc"} | changed


def scores(metric: str, hours: int = 24, loss: float = 0.7) -> dict[str, Any]:
    return {"metric": metric, "hours": hours, "loss": loss, "naive": 1.0, "seasonal": 2.0}


def trust(made: dict[str, Any], scored: dict[str, Any] | None = None) -> MetricTrust:
    display = display_of(made["metric"])
    return server_trust([display], [made], [scored] if scored else []).metrics[0]


@pytest.mark.parametrize(
    ("made", "hours", "loss", "verdict", "missing"),
    [
        ({}, 24, 0.7, "30 % less error than a naive forecast", ""),
        ({}, 30, 1.2, "20 % more error than a naive forecast", ""),
        ({}, 12, 0.7, "too early to judge", "12 more hours of evidence"),
        ({}, 23, 0.7, "too early to judge", "1 more hour of evidence"),
        ({"state": "early", "context_steps": 276}, 24, 0.7, "30 % less error than a naive forecast",
         "1 h more of samples until it knows a whole day"),
        ({"state": "abstained", "context_steps": 6, "why": "collecting, 6 of 288"}, 0, 0.7,
         "no forecast: collecting, 6 of 288", "30 min more of samples until the first forecast"),
        ({"state": "abstained", "why": "no skill: its losses"}, 90, 1.2,
         "no forecast: no skill: its losses", ""),
    ],
)  # fmt: skip
def test_a_metric_says_how_good_it_is_and_what_is_missing(
    made: dict[str, Any], hours: int, loss: float, verdict: str, missing: str
) -> None:
    each = trust(forecast("mem_used_pct", **made), scores("mem_used_pct", hours, loss))
    assert (each.verdict, each.missing) == (verdict, missing)


def test_without_errors_of_naive_forecasts_the_skill_is_not_known() -> None:
    still = scores("uptime_days") | {"naive": 0.0}
    assert trust(forecast("uptime_days"), still).skill is None
    assert trust(forecast("uptime_days")).verdict == "too early to judge"


def test_the_sentence_counts_metrics_and_names_what_is_missing() -> None:
    made = [forecast("mem_used_pct"), forecast("net_in_mb_s"), forecast("net_out_mb_s")]
    scored = [scores("mem_used_pct"), scores("net_in_mb_s", 12), scores("net_out_mb_s", 12)]
    whole = server_trust(METRIC_DISPLAYS, made, scored)
    assert whole.model == "abc"
    assert whole.sentence == (
        "3 of 3 metrics are forecast; 1 of 1 judged ones beat a naive forecast here; "
        "12 more hours of evidence for Network in, Network out."
    )


def test_a_server_without_a_forecast_says_so() -> None:
    assert server_trust(METRIC_DISPLAYS, [], []).sentence == "No forecast yet."
