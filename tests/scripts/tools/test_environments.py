"""What is wrong with the outcome of a command."""

import pytest

from scripts.tools.environments import Outcome, judge


@pytest.mark.parametrize(
    ("outcome", "fault"),
    [
        (Outcome(0, ""), ""),
        (Outcome(1, "hoursight: the disk of /x is full"), ""),
        (Outcome(1, "\n"), "failed without a word"),
        (Outcome(1, "Traceback (most recent call last):\n  x\nOSError"), "traceback"),
        (Outcome(-11, ""), "ended by signal 11"),
        (Outcome(None, ""), "did not end"),
    ],
)
def test_an_outcome_is_wrong_without_a_sentence(outcome: Outcome, fault: str) -> None:
    assert judge(outcome) == fault
