"""Functions in words: state, error, remedy and the next run."""

from datetime import timedelta
from typing import Any

import pytest

from tests.conftest import NOW
from web.display.function_status import (
    FunctionStatus,
    FunctionWords,
    function_statuses,
    milliseconds,
)

FAILED = {
    "function": "mine", "last_outcome": "timed out", "last_error": "over 30 s\n  File x",
    "failed_error": "over 30 s\n  File x",
}  # fmt: skip


def status(row: dict[str, Any] | None = None, **words: Any) -> FunctionStatus:
    given = FunctionWords("mine", **words) if words else None
    return FunctionStatus("mine", given, row or {}, NOW)


@pytest.mark.parametrize(
    ("shown", "summary", "remedy"),
    [
        (status(FAILED, suspended=True, failures=5, file="functions/mine.py"),
         "Suspended after 5 failures in a row: over 30 s",
         "Make it faster, hand it less at a time (a cursor), or give it longer: "
         "@function(deadline=…) in functions/mine.py."),
        (status(FAILED, on=["every 5 s"]), "Timed out: over 30 s", "Make it faster"),
        (status(None, loaded=False, load_error="SyntaxError", file="functions/mine.py"),
         "The file as it is saved is not loaded (nothing of it runs): SyntaxError",
         "Correct functions/mine.py: it is loaded as soon as it is saved."),
        (status(None, load_error="SyntaxError"), "(its last good version runs): SyntaxError",
         "Correct its module"),
        (status({"last_outcome": "nothing"}), "Well, nothing to do", ""),
        (status({"last_outcome": "resumed", "last_error": None}), "Resumed", ""),
        (status(None, on=["every 5 s"]), "Has not run yet", ""),
    ],
)  # fmt: skip
def test_a_function_says_how_it_fares_and_what_to_do(
    shown: FunctionStatus, summary: str, remedy: str
) -> None:
    assert summary in shown.summary
    assert shown.remedy.startswith(remedy)
    assert bool(shown.remedy) == bool(remedy)


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (status(None, next_at=NOW + timedelta(seconds=90)), "at 12:02:00 UTC"),
        (status(None, next_at=NOW, failures=2), "tried again at 12:00:30 UTC"),
        (status(None, on=["rows in metrics_5m", "request"]), "when set off by rows in metrics_5m"),
        (status(None, on=["request"]), "when it is called"),
        (status(FAILED), "not known"),
    ],
)
def test_the_next_run_is_a_time_or_what_it_waits_for(shown: FunctionStatus, text: str) -> None:
    assert shown.next_text == text


def test_suspended_functions_come_first_then_those_that_fail_then_by_name() -> None:
    words = [FunctionWords("b"), FunctionWords("z", suspended=True), FunctionWords("a")]
    rows = [{"function": "m", "last_outcome": "failed"}, {"function": "a", "last_outcome": "ok"}]
    shown = function_statuses(words, rows, NOW)
    assert [each.name for each in shown] == ["z", "m", "a", "b"]


@pytest.mark.parametrize(
    ("duration_ms", "text"),
    [(None, "–"), (12.4, "12 ms"), (4210.0, "4.2 s"), (61_000.0, "1 min 1 s")],
)
def test_a_time_of_a_run_has_a_unit_that_fits(duration_ms: float | None, text: str) -> None:
    assert milliseconds(duration_ms) == text
