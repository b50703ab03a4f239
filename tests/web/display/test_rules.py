"""Alert rules with their proof, and results of trials, in words."""

from typing import Any

import msgspec

from web.display.rules import RulesInForce, RuleWords, TrialResult, trial_cost, with_proof

RULE = RuleWords("breach", True, True, "metrics", "* of all servers", ["Warns."])
PROOF: dict[str, Any] = {
    "rule": "breach", "warnings": 6, "correct": 3, "wrong": 1, "withdrawn": 1, "averted": 1,
    "still_open": 0, "missed": 2, "median_lead_minutes": 52.0, "p10_lead_minutes": 12.0,
    "false_per_host_day": 0.045,
}  # fmt: skip


def test_a_rule_is_shown_with_its_proof_and_one_that_is_gone_keeps_its_own() -> None:
    shown = with_proof([RULE, RuleWords("new", True, False, "metrics", "", [])],
                       [PROOF, PROOF | {"rule": "gone"}])  # fmt: skip
    assert [(rule.name, rule.words is None) for rule in shown] == [
        ("breach", False), ("new", False), ("gone", True),
    ]  # fmt: skip
    assert shown[0].proof_text == (
        "Warned 6: 3 right, 1 wrong, 1 withdrawn, 1 averted, 0 open; missed 2. "
        "Lead: median 52 min, 9 in 10 longer than 12 min."
    )
    assert shown[0].false_text == "0.045 false alarms per host-day."
    assert (shown[1].proof_text, shown[1].false_text) == (
        "No warning and no breach in 30 days.", "",
    )  # fmt: skip


def test_a_proof_without_a_right_warning_has_no_lead() -> None:
    (shown,) = with_proof([RULE], [PROOF | {"median_lead_minutes": None}])
    assert "Lead" not in shown.proof_text


def test_the_result_of_a_trial_is_said_in_words() -> None:
    row = {
        "name": "x", "right": 3, "false": 2, "withdrawn": 1, "averted": 0, "missed": 1,
        "breaches": 4, "lead_median": 90.0, "lead_p10": 20.0, "false_per_host_day": None,
        "episodes_a_week": 4.25, "pages_a_week": 1.0,
    }  # fmt: skip
    result = TrialResult(row)
    assert result.sentence == (
        "3 right, 2 wrong (1 of them withdrawn), 0 averted; 1 of 4 breaches missed. "
        "Lead: median 1 h 30 min, 9 in 10 longer than 20 min."
    )
    assert result.cost_text == "4.2 episodes and 1.0 pages a week."
    assert "Lead" not in TrialResult(row | {"lead_median": None}).sentence


def test_the_time_that_a_trial_takes_grows_with_servers_and_days() -> None:
    assert trial_cost(20, 6) == "about 2 min 45 s"
    assert trial_cost(1000, 7) == "about 15 min"


def test_an_answer_without_anything_is_no_rule_in_force() -> None:
    assert msgspec.convert({}, RulesInForce).rules == []
