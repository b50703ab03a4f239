from datetime import timedelta
from typing import Any

import pytest

from functions.delivery.message import Companion, facts_of, summary_of, title_of
from tests.functions.delivery.messages import NOW, message


@pytest.mark.parametrize(
    ("fields", "title"),
    [
        ({}, "Critical: disk used on db-7 likely passes 95 % in 43 min"),
        ({"likely": None}, "Critical: disk used on db-7 likely passes 95 % within 1 h"),
        ({"likely": None, "lead_minutes": None}, "Critical: disk used on db-7 likely passes 95 %"),
        ({"limit": None}, "Critical: disk used on db-7 is likely to breach its limit in 43 min"),
        ({"phase": "breached"}, "Critical: disk used on db-7 is at 91.2 %, limit 95 %"),
        ({"phase": "breached", "value": None}, "Critical: disk used on db-7, limit 95 %"),
        ({"phase": "withdrawn"}, "Withdrawn: disk used on db-7"),
        ({"phase": "no data", "metric": None}, "Critical: no data on db-7"),
        (
            {"severity": None, "label": None},
            "Alert: disk_usage_pct on db-7 likely passes 95 % in 43 min",
        ),
    ],
)
def test_the_title_says_what_happens_where_and_when(fields: dict[str, Any], title: str) -> None:
    assert title_of(message(**fields), NOW) == title


def test_the_facts_are_those_that_an_operator_needs_in_this_order() -> None:
    facts = dict(facts_of(message(), NOW))
    assert list(facts) == [
        "Now", "Limit", "Odds", "Breach", "Time to act", "Why", "Rule", "How far to trust it",
        "Next step",
    ]  # fmt: skip
    assert facts["Now"] == "91.2 %; usual on this server at this hour: 62 %"
    assert facts["Odds"] == "62 % that it breaches within 1 h; checked on breaches of this fleet"
    assert facts["Breach"] == ("likely 03:43 UTC, earliest 03:21 UTC, latest 2026-05-07 01:00 UTC")
    assert facts["Time to act"] == "43 min; respond within 15 min"


def test_what_is_not_known_is_left_out() -> None:
    names = (
        "value usual limit odds lead_minutes checked earliest likely latest why trust next_step "
        "url act_url severity rule"
    )
    bare = dict.fromkeys(names.split())
    assert facts_of(message(**bare), NOW) == []
    assert summary_of(message(**bare), NOW).strip() == (
        "Alert: disk used on db-7 is likely to breach its limit"
    )


def test_the_clock_runs_to_the_breach_and_says_when_no_time_is_left() -> None:
    later = NOW + timedelta(minutes=40)
    assert title_of(message(), later).endswith("in 3 min")
    past = dict(facts_of(message(), NOW + timedelta(minutes=50)))
    assert past["Time to act"].startswith("none left: the likely time has passed")


def test_a_closed_episode_asks_for_nothing() -> None:
    closed = message(phase="over", breached_at=NOW)
    labels = [label for label, _ in facts_of(closed, NOW)]
    assert not {"Odds", "Time to act", "Next step"} & set(labels)
    assert "Acknowledge" not in summary_of(closed, NOW)


def companion(server: str, phase: str = "predicted", **fields: Any) -> Companion:
    known: dict[str, Any] = {"severity": "warning", "metric": "disk_usage_pct"}
    known |= {"what": "disk used", "unit": "%"}
    return Companion(f"of {server}", phase, server=server, **known | fields)


def test_a_group_names_its_count_and_the_worst_first_with_their_runway() -> None:
    others = (
        companion("db-8", "breached", value=97.0, breached_at=NOW),
        companion("db-9", likely=NOW + timedelta(hours=2), url="https://hs.example/servers/db-9"),
    )
    group = message(companions=others, others=4, ended=1)
    assert title_of(group, NOW).endswith("in 43 min, and 4 others")
    assert dict(facts_of(group, NOW))["Together"] == (
        "5 open: disk used on db-7 (Critical, likely in 43 min), "
        "disk used on db-8 (Warning, breached at 97 % since 03:00 UTC), "
        "disk used on db-9 (Warning, likely in 2 h), 2 more; 1 ended"
    )
    assert "db-9 as of then: https://hs.example/servers/db-9" in summary_of(group, NOW)


def test_the_end_of_a_group_says_how_many_there_were() -> None:
    over = message(phase="over", ended=1)
    assert title_of(over, NOW) == "Over: disk used on db-7, and 1 other"
    assert "Together" not in dict(facts_of(over, NOW))
