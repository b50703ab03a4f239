from datetime import datetime, timedelta

import pytest

from functions.engine.triggers import Rows, every, rows
from tests.conftest import NOW

NOON = NOW.replace(second=0)


def after(**span: float) -> datetime:
    return NOON + timedelta(**span)


@pytest.mark.parametrize("text", ["", "5", "s", "5 s", "-5s", "0s", "0.0m", "5min", "1h30m", "1w"])
def test_an_invalid_period_is_named_with_what_is_expected(text: str) -> None:
    with pytest.raises(ValueError, match="is not a valid period") as e:
        every(text)
    assert repr(text) in str(e.value)


def test_a_wrong_pause_is_named_too() -> None:
    with pytest.raises(ValueError, match="'soon' is not a valid period"):
        rows("metrics", pause="soon")


def test_what_never_ran_is_due() -> None:
    assert every("5m").due(NOON, last=None)


def test_it_is_due_once_in_each_full_period_of_the_clock() -> None:
    trigger = every("5m")
    assert not trigger.due(after(minutes=4, seconds=59), last=NOON)
    assert trigger.due(after(minutes=5), last=NOON)
    assert trigger.due(after(minutes=5), last=after(minutes=4, seconds=59))


def test_periods_that_were_missed_are_made_up_for_once() -> None:
    trigger = every("5m")
    assert trigger.due(after(hours=3), last=NOON)
    assert not trigger.due(after(hours=3, seconds=1), last=after(hours=3))


def test_a_clock_that_was_set_back_sets_nothing_off() -> None:
    assert not every("5m").due(after(minutes=-20), last=NOON)


@pytest.mark.parametrize("seconds", [0, 1, 299])
def test_the_next_period_begins_at_a_full_one_in_the_same_zone(seconds: int) -> None:
    following = every("5m").next_after(after(seconds=seconds))
    assert following == after(minutes=5)
    assert following.tzinfo is NOON.tzinfo


def test_rows_wait_for_a_table_and_for_a_pause_if_asked() -> None:
    assert rows("metrics", pause="10s") == Rows("metrics", timedelta(seconds=10))
    assert rows("metrics").pause == timedelta(0)


def test_a_trigger_says_what_it_is() -> None:
    assert [str(each) for each in (every("5m"), rows("metrics"))] == [
        "every 300 s", "rows in metrics",
    ]  # fmt: skip
