"""Looking back over what was read already."""

from datetime import timedelta

from functions.connectors.lookback import JITTER, MAX_GIVEN, LookbackWindow, SeenKeys
from tests.conftest import NOW

OVERLAP = timedelta(minutes=2)


def test_the_first_look_goes_all_the_way_and_then_one_each_quarter_of_the_overlap() -> None:
    back = LookbackWindow(OVERLAP)
    assert back.due(NOW)
    back.looked = NOW
    assert not back.due(NOW + OVERLAP / 4 - timedelta(seconds=1))
    assert back.due(NOW + OVERLAP / 4)


def test_a_clock_that_was_set_back_makes_a_far_look_due() -> None:
    back = LookbackWindow(OVERLAP)
    back.looked = NOW
    assert back.due(NOW - timedelta(seconds=1))


def test_a_near_look_is_never_longer_than_the_overlap() -> None:
    assert LookbackWindow(OVERLAP).span(far=True) == OVERLAP
    assert LookbackWindow(OVERLAP).span(far=False) == JITTER
    assert LookbackWindow(timedelta(seconds=5)).span(far=False) == timedelta(seconds=5)


def test_a_document_is_new_once() -> None:
    given = SeenKeys()
    assert given.take(["a", "b", "a"], [1, 2, 1]) == [True, True, False]
    assert given.take(["b", "c"], [2, 3]) == [False, True]


def test_what_lies_before_the_bound_is_forgotten_and_what_has_no_time_is_not() -> None:
    given = SeenKeys()
    given.take(["old", "new", "timeless"], [1, 5, None])
    given.forget(5)
    assert given.take(["old", "new", "timeless"], [1, 5, None]) == [True, False, False]


def test_it_says_when_it_is_worth_while_to_forget() -> None:
    given = SeenKeys()
    given.take(range(MAX_GIVEN), range(MAX_GIVEN))
    assert not given.crowded
    given.take([MAX_GIVEN], [MAX_GIVEN])
    assert given.crowded
    given.forget(MAX_GIVEN)
    assert not given.crowded
