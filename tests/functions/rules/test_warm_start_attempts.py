from datetime import UTC, datetime, timedelta

import pytest

from functions.rules.warm_start_attempts import MOST_ATTEMPTS, Attempt, is_done, next_attempt_at

NOW = datetime(2026, 5, 6, 12, 0, tzinfo=UTC)


def attempt(event: str, ago_minutes: float = 5, cause: str | None = "history") -> Attempt:
    ts = NOW - timedelta(minutes=ago_minutes)
    return Attempt(f"{ts:%d%H%M}-history", event, ts, cause, "no memory")


@pytest.mark.parametrize(
    ("attempts", "in_minutes"),
    [
        ([], 0),
        ([attempt("failed")], 5),
        ([attempt("failed", 30)], -20),
        ([attempt("failed", 90), attempt("failed", 20)], 40),
        ([attempt("failed", 300), attempt("failed", 200), attempt("failed", 60)], 23 * 60),
        ([attempt("failed", 5000 - i) for i in range(MOST_ATTEMPTS)], None),
        ([attempt("due")], None),
        ([attempt("progress", 5000)], None),  # a stop cut it off: it is continued
        ([attempt("started", 30, "command")], None),
        ([attempt("started", 2000, "command")], 0),  # it was killed
        ([attempt("failed", 1, "command")], 0),
        ([attempt("failed", 90), attempt("learned", 20)], None),
        ([attempt("learned", 20, "command")], None),
    ],
)
def test_an_attempt_follows_a_failure_more_and_more_rarely(
    attempts: list[Attempt], in_minutes: float | None
) -> None:
    at = next_attempt_at(attempts, NOW)
    assert (None if at is None else (at - NOW) / timedelta(minutes=1)) == in_minutes


def test_it_is_done_when_one_has_succeeded() -> None:
    assert not is_done([attempt("failed"), attempt("due")])
    assert is_done([attempt("failed"), attempt("learned")])
