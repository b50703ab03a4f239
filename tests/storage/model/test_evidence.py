"""The evidence that rules and pages ask for is the same."""

from functions.rules import defaults
from storage.model import evidence


def test_the_rules_ask_for_the_evidence_that_pages_speak_of() -> None:
    assert (defaults.SKILL_HOURS, defaults.LEAST_EVENTS) == (
        evidence.SKILL_HOURS, evidence.LEAST_EVENTS,
    )  # fmt: skip
