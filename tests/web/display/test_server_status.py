"""Status of one server: health, rank, and the texts that describe it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from storage.model.grid import LEAD_MINUTES
from storage.model.severity import HEALTHY, IMMINENT, LOADING, STALE, UNSCORED
from web.display.server_status import Loading, ServerStatus, server_status

NOW = datetime(2026, 3, 1, 2, 10, tzinfo=UTC)


def status(**values: Any) -> ServerStatus:
    """A healthy server, but for VALUES of its row in `fleet_now`."""
    row = {
        "server": "a", "profile": "generic", "site": None, "cores": 8,
        "disk_volume": None, "net_links": None,
        "last_seen": NOW - timedelta(seconds=3), "context_steps": 288, "risk_at": NOW,
        "now_score": 8.0, "ahead_score": 6.0, "breach_metric": None, "breach_earliest": None,
        "breach_likely": None, "breach_latest": None, "reasons": None, "forecast_at": NOW,
        "forecast_state": "ok", "forecast_why": None,
        **{f"p_breach_{lead}m": 0.5 for lead in LEAD_MINUTES},
    }  # fmt: skip
    return server_status(row | values, NOW)


def test_the_health_status_follows_the_worse_score() -> None:
    assert status().health == HEALTHY
    assert status(ahead_score=93.0).health == IMMINENT
    assert status(ahead_score=93.0).respond_within_minutes == 5


def test_a_server_without_scores_is_not_healthy() -> None:
    server = status(now_score=None, ahead_score=None)
    assert server.health == UNSCORED
    assert server.rank > HEALTHY.rank
    assert server.respond_within_minutes is None


@pytest.mark.parametrize("last_seen", [NOW - timedelta(seconds=301), None])
def test_a_server_without_samples_for_a_step_is_stale(last_seen: datetime | None) -> None:
    server = status(last_seen=last_seen)
    assert (server.stale, server.health, server.scored) == (True, STALE, HEALTHY)
    assert server.rank == STALE.rank
    assert status(last_seen=last_seen, now_score=95.0).rank == 95.0


def test_the_stale_text_has_the_time_of_the_last_sample() -> None:
    assert status(last_seen=NOW - timedelta(hours=1)).stale_text == "No data since 01:10:00 UTC"
    assert status(last_seen=None).stale_text == "No data for more than 8 days"


def test_while_history_is_loaded_there_are_no_scores_and_no_forecast() -> None:
    old = status(last_seen=NOW - timedelta(days=1), now_score=95.0)
    server = old.while_loading(Loading(NOW - timedelta(days=1), 0.75))
    assert (server.health, server.stale, server.score) == (LOADING, False, None)
    assert server.loading_text == "Loading history, up to 28 Feb 02:10 UTC (75 %)"
    assert server.forecast_text == ""


def test_a_refused_model_leaves_the_present_score() -> None:
    server = status(ahead_score=93.0).without_forecast()
    assert (server.score, server.chance, server.has_forecast) == (8.0, None, False)
    assert server.forecast_text == "No forecast: the model was refused"


@pytest.mark.parametrize(
    ("state", "steps", "text", "css_class"),
    [
        ("ok", 288, "", ""), ("early", 13, "Early forecast from 1 h 5 min of data", "early"),
        ("abstained", 288, "No forecast: gaps", "abstained"), (None, 288, "No forecast yet", ""),
        ("abstained", 2, "Collecting, 2 of 288 steps", ""),
    ],
)  # fmt: skip
def test_the_state_of_the_forecast_has_a_text_and_a_class(
    state: str | None, steps: int, text: str, css_class: str
) -> None:
    server = status(forecast_state=state, context_steps=steps, forecast_why="gaps")
    assert (server.forecast_text, server.forecast_class) == (text, css_class)


def breach(likely: timedelta | None, **values: Any) -> ServerStatus:
    at = None if likely is None else NOW + likely
    return status(breach_metric="mem_used_pct", breach_likely=at, **values)


def test_a_likely_breach_is_described_with_level_and_time() -> None:
    server = breach(timedelta(minutes=50), breach_earliest=NOW + timedelta(minutes=20))
    assert server.breach_text.startswith("Memory used likely passes ")
    assert server.breach_text.endswith(" in about 50 min; earliest 20 min")
    assert " may pass " in breach(None).breach_text


def test_an_unlikely_breach_is_not_described() -> None:
    odds = {f"p_breach_{lead}m": 0.04 for lead in LEAD_MINUTES}
    assert breach(timedelta(minutes=50), **odds).breach_text == ""


def test_a_breach_that_the_present_score_confirms_is_described_as_present() -> None:
    passed = breach(timedelta(minutes=-2), now_score=92.0)
    assert passed.breached
    assert passed.breach_text.endswith(" now")
    assert not replace(passed, now_score=30.0).breached
