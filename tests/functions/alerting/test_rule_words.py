from datetime import UTC, datetime
from typing import Any

import pytest

from functions.alerting.rule_words import (
    ladders_in_words,
    maintenance_in_words,
    no_data_in_words,
    rule_in_words,
)
from functions.rules.alerts.maintenance import Maintenance
from functions.rules.alerts.routes import STOCK_ROUTES, STOCK_STEPS, Routes
from functions.rules.alerts.rule import NoDataRule, Rule


def sentences(**fields: Any) -> str:
    return " ".join(rule_in_words(Rule(name="r", **fields))["sentences"])


def test_the_stock_rule_is_told_in_words() -> None:
    words = rule_in_words(Rule(name="breach"))
    assert (words["stock"], words["covers"]) == (True, "* of all servers")
    assert words["sentences"] == [
        "Warns at P(1 h) ≥ 20 % or P(2 h) ≥ 30 % for 10 of the last 15 minutes.",
        "Until the odds were checked on this fleet's breaches: at P(2 h) ≥ 50 % or P(8 h) ≥ 70 %.",
        "Pages at P(1 h) ≥ 50 %.",
        "A breach is 15 min at the critical level or beyond.",
        "Closes after 30 min of quiet; reopens 2 h after that at the earliest.",
    ]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"level": 40.0}, "It does not warn by odds"),
        ({"level": 40.0, "samples": "any"}, "any single 5-minute step at 40, by its maximum"),
        ({"odds": {"4h": 0.5}}, "Warns at P(4 h) ≥ 50 %"),
        ({"for_at_least": "20m", "within": "30m"}, "for 20 of the last 30 minutes"),
        ({"page": {}}, "Warns at"),
    ],
)
def test_what_a_rule_changes_is_in_its_words(fields: dict[str, Any], words: str) -> None:
    assert words in sentences(**fields)
    assert ("Pages at" in sentences(**fields)) == ("level" not in fields and "page" not in fields)


def test_what_a_rule_covers_names_servers_profiles_and_sites() -> None:
    rule = NoDataRule(name="n", servers=("db*", "x"), profiles=("database",), sites=("fra",))
    words = no_data_in_words(rule)
    assert words["covers"] == "missing data of servers db* and x of profile database at fra"
    assert words["sentences"] == ["Opens after 15 min without a sample."]


def test_a_window_has_its_next_occurrence_by_both_clocks() -> None:
    window = Maintenance(
        name="patch <night>", zone="Europe/Berlin", starts="2026-01-03 22:00", to="04:00",
        repeat="FREQ=WEEKLY;BYDAY=SA",
    )  # fmt: skip
    now = datetime(2026, 1, 5, tzinfo=UTC)
    words = maintenance_in_words(window, now)
    assert not words["active"]
    assert (words["start"], words["local_start"]) == (
        "2026-01-10T21:00:00+00:00", "Sat 10 Jan 22:00"
    )  # fmt: skip
    assert words["local_end"] == "Sun 11 Jan 04:00"
    during = maintenance_in_words(window, datetime(2026, 1, 11, 1, tzinfo=UTC))
    assert (during["active"], during["start"]) == (True, words["start"])


def test_a_window_that_is_over_has_no_times() -> None:
    window = Maintenance(name="w", zone="UTC", starts="2026-01-03 22:00", duration="1h")
    words = maintenance_in_words(window, datetime(2026, 1, 5, tzinfo=UTC))
    assert (words["start"], words["local_start"], words["repeats"]) == (None, None, "once")


def test_ladders_name_who_is_notified_and_who_after_that() -> None:
    routes = Routes(STOCK_ROUTES, STOCK_STEPS)
    ladders = {each["severity"]: each["steps"] for each in ladders_in_words(routes)}
    assert ladders["Critical"] == "on-call → senior after 15 min → director after 30 min"
    assert ladders_in_words(routes.among(())) == []
