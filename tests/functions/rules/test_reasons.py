"""Reasons of a risk, in words."""

from dataclasses import replace

import numpy as np
import pytest

from functions.rules.fleet_state import FleetState
from functions.rules.reasons import MAX_REASONS
from tests.functions.rules.risk_scenes import risk_of, server, with_forecast, with_odds


def texts(fleet: FleetState) -> list[str]:
    return [reason.text for reason in risk_of(fleet).reasons]


def test_silence_says_since_when() -> None:
    risk = risk_of(replace(server(), age_s=np.array([1800.0])))
    assert risk.reasons[0].text == "no data since 2026-03-02 00:30 UTC"


def test_samples_without_a_reading_are_as_good_as_none() -> None:
    fleet = server()
    fleet.latest[:] = np.nan
    assert risk_of(fleet).now_score is None
    assert risk_of(fleet).reasons[0].text == "samples arrive, with no reading in them"


def test_reasons_say_what_an_operator_needs() -> None:
    climb = {"mem_used_pct": 4.0}
    fleet = with_forecast(server(mem_used_pct=96.0, climbing=climb), climb)
    assert [reason.text for reason in risk_of(fleet).reasons] == [
        "9 in 10 that memory passes 98 % within 1 h, likely around 01:30 UTC",
        "memory 96 % and climbing 4 points per hour; critical at 98 %",
    ]


def test_idle_is_shown_as_cpu_used() -> None:
    texts = [reason.text for reason in risk_of(server(cpu_idle_pct=5.0)).reasons]
    assert texts == ["CPU used 95 %; critical at 98 %"]


def test_at_most_three_reasons_strongest_first() -> None:
    fleet = server(mem_used_pct=97.0, swap_used_pct=60.0, disk_usage_pct=93.0, load_average=20.0)
    points = [reason.points for reason in risk_of(fleet).reasons]
    assert len(points) == 3
    assert points == sorted(points, reverse=True)


def test_a_server_without_any_sample_has_no_data_yet() -> None:
    assert texts(replace(server(), age_s=np.array([np.nan]))) == ["no data yet"]


def test_metrics_that_are_high_together_are_one_reason_of_all() -> None:
    joint = texts(server(cpu_idle_pct=10.0, mem_used_pct=93.0, cpu_iowait_pct=30.0))[0]
    assert joint.endswith(" together")
    assert {"memory 93 %", "CPU used 90 %", "I/O wait 30 %"} <= {
        part.removesuffix(" together") for part in joint.replace(" and ", ", ").split(", ")
    }


@pytest.mark.parametrize(
    ("reading", "ending"),
    [(86.0, "; warning at 90 %"), (95.0, "; critical at 98 %"), (99.0, "; past critical (98 %)")],
)
def test_a_reading_names_the_level_that_comes_next(reading: float, ending: str) -> None:
    [memory] = [text for text in texts(server(mem_used_pct=reading)) if text.startswith("memory")]
    assert memory.endswith(ending)


@pytest.mark.parametrize(
    ("p", "words"), [(0.97, "almost certain"), (0.52, "5 in 10"), (0.05, "1 in 20")]
)
def test_odds_are_given_in_words(p: float, words: str) -> None:
    assert any(
        text.startswith(f"{words} that swap") for text in texts(with_odds("swap_used_pct", p, 60))
    )


def test_a_calm_server_has_no_reasons() -> None:
    assert texts(with_forecast(server())) == []
    assert MAX_REASONS == 3
