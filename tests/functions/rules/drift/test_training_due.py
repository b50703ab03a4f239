from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.rules.drift.training_due import (
    Cause,
    Check,
    Decision,
    Training,
    decide,
    loss_is_high,
    quietest_hour,
)

NOW = datetime(2026, 5, 6, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
FLAT = np.full(24, 20.0)
NIGHT = np.where(np.arange(24) // 2 == 6, 5.0, 40.0)  # quiet in 12 and 13 hours


def drifting(hours: int, *, below: int = 0) -> list[Check]:
    return [Check(NOW - n * HOUR, n >= below) for n in range(hours)]


def training(event: str, *, age_h: float, cause: Cause = "loss", ran: bool = True) -> Training:
    at = NOW - age_h * HOUR
    return Training("t", cause, at, at if ran else None, event)


def decided(
    checks: list[Check] | None = None,
    trainings: list[Training] | None = None,
    *,
    learned_h: float = 48,
    cpu: np.ndarray = FLAT,
    now: datetime = NOW,
) -> Decision | None:
    return decide(now, checks or [], trainings or [], now - learned_h * HOUR, lambda: cpu)


@pytest.mark.parametrize(
    ("checks", "high"),
    [
        (drifting(72), True),
        (drifting(72, below=3), True),
        (drifting(71, below=10), False),
        (drifting(40), False),
        ([], False),
    ],
)
def test_the_loss_is_high_when_nearly_all_checks_of_three_days_are(
    checks: list[Check], high: bool
) -> None:
    assert loss_is_high(NOW, checks) == high


def test_a_training_is_due_after_three_days_of_loss_or_thirty_days_or_on_request() -> None:
    assert decided() is None
    by_loss, by_calendar = decided(drifting(72)), decided(learned_h=31 * 24)
    requested = decided(trainings=[training("requested", age_h=0, cause="person", ran=False)])
    made = [by_loss, by_calendar, requested]
    assert [d and (d.event, d.cause) for d in made] == [
        ("due", "loss"), ("due", "calendar"), ("due", "person"),
    ]  # fmt: skip
    assert by_calendar is not None
    assert by_calendar.reason == "the last training was 31 days ago"


def test_an_interrupted_training_of_the_command_holds_up_only_the_next_six_hours() -> None:
    made = decided(drifting(72), [training("started", age_h=80, cause="command")])
    assert made is not None
    assert made.event == "due"
    wanted = training("requested", age_h=0, cause="person", ran=False)
    made = decided(trainings=[training("started", age_h=1, cause="command"), wanted])
    assert made is not None
    assert made.event == "postponed"


def test_where_it_is_turned_off_only_a_person_makes_a_training_due() -> None:
    def turned_off(*trainings: Training) -> Decision | None:
        return decide(NOW, drifting(72), trainings, NOW, lambda: FLAT, automatic=False)

    assert turned_off() is None
    made = turned_off(training("requested", age_h=0, cause="person", ran=False))
    assert made is not None
    assert made.cause == "person"


def test_a_training_that_waits_for_the_trainer_is_decided_once() -> None:
    for event in ("due", "started", "progress", "unable"):
        assert decided(drifting(72), [training(event, age_h=80)]) is None


@pytest.mark.parametrize(
    ("ages_h", "says"),
    [
        ([5], "not before 2026-05-06 13:00 UTC, 6 h after the last training"),
        ([150, 100, 80], "not before 2026-05-07 06:00 UTC, at most 3 trainings in 7 days"),
    ],
)
def test_a_request_waits_for_the_limits_and_says_until_when(ages_h: list[float], says: str) -> None:
    earlier = [training("refused", age_h=age) for age in ages_h]
    wanted = training("requested", age_h=0, cause="person", ran=False)
    made = decided(trainings=[*earlier, wanted], cpu=NIGHT)
    assert made is not None
    assert (made.event, made.reason) == ("postponed", f"a person requested it; {says}")


def test_a_training_that_failed_before_its_start_is_not_tried_again_at_once() -> None:
    failed = training("failed", age_h=1, ran=False)
    assert decided(drifting(72), [failed]) is None
    again = decided(drifting(72), [training("failed", age_h=73, ran=False)])
    assert again is not None
    assert again.event == "due"


def test_it_waits_for_the_quietest_hour_but_not_longer_than_a_day() -> None:
    made = decided(drifting(72), cpu=NIGHT)
    assert made is not None
    assert made.event == "postponed"
    assert made.reason.endswith("waits for the quietest predicted hour, Thu 00:00 UTC")
    wanted = Training(made.training, "loss", NOW, None, made.event, made.reason)
    assert decided(drifting(72), [wanted], cpu=NIGHT) is None  # nothing has changed
    late = Training(made.training, "loss", NOW - 24 * HOUR, None, made.event, made.reason)
    again = decided(drifting(72), [late], cpu=NIGHT)
    assert again is not None
    assert (again.event, again.training) == ("due", made.training)


def test_a_training_that_is_no_longer_due_is_cancelled() -> None:
    wanted = training("postponed", age_h=2, ran=False)
    made = decided(drifting(72, below=40), [wanted])
    assert made is not None
    assert (made.event, made.reason) == ("cancelled", "the loss is back within its limit")


def test_after_a_training_the_loss_must_be_high_for_another_three_days() -> None:
    assert decided(drifting(72), [training("refused", age_h=71)]) is None
    assert decided(drifting(72), [training("refused", age_h=73)]) is not None


def test_the_quietest_hour_is_now_where_nothing_is_known_or_little_is_won() -> None:
    assert quietest_hour(np.full(24, np.nan)) == 0
    assert quietest_hour(FLAT - np.arange(24) / 24) == 0
    assert quietest_hour(NIGHT) == 12


@settings(max_examples=50)
@given(st.lists(st.integers(1, 24 * 40), max_size=60), st.booleans())
def test_no_sequence_of_hours_breaks_the_limits(gaps_h: list[int], person: bool) -> None:
    """Decide at many times; what is due starts at once, and is refused."""
    now, known, starts = NOW, list[Training](), list[datetime]()
    for gap in gaps_h:
        now += gap * HOUR
        if person:
            known.append(Training("p", "person", now, None, "requested"))
        checks = [Check(now - n * HOUR, drifting=True) for n in range(72)]
        made = decide(now, checks, known, NOW, lambda: FLAT)
        known = [t for t in known if t.started]
        if made is not None and made.event == "due":
            known.append(Training(made.training, made.cause, now, now, "refused"))
            starts.append(now)
    assert all(b - a >= 6 * HOUR for a, b in pairwise(starts))
    assert all(c - a >= 168 * HOUR for a, c in zip(starts, starts[3:], strict=False))
