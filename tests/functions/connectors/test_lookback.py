"""Lookback window and seen keys: when a poll reads far back, and which documents are new."""

from datetime import timedelta

from functions.connectors.lookback import JITTER, MAX_KEYS, LookbackWindow, SeenKeys
from tests.conftest import NOW

OVERLAP = timedelta(minutes=2)


def test_a_full_read_is_due_at_first_and_each_quarter_of_the_overlap() -> None:
    window = LookbackWindow(OVERLAP)
    assert window.full_read_due(NOW)
    window.last_full_read = NOW
    assert not window.full_read_due(NOW + OVERLAP / 4 - timedelta(seconds=1))
    assert window.full_read_due(NOW + OVERLAP / 4)


def test_a_full_read_is_due_after_the_clock_was_set_back() -> None:
    window = LookbackWindow(OVERLAP)
    window.last_full_read = NOW
    assert window.full_read_due(NOW - timedelta(seconds=1))


def test_a_short_read_is_never_longer_than_the_overlap() -> None:
    assert LookbackWindow(OVERLAP).span(full=True) == OVERLAP
    assert LookbackWindow(OVERLAP).span(full=False) == JITTER
    assert LookbackWindow(timedelta(seconds=5)).span(full=False) == timedelta(seconds=5)


def test_a_document_is_new_once() -> None:
    seen = SeenKeys()
    assert seen.add(["a", "b", "a"], [1, 2, 1]) == [True, True, False]
    assert seen.add(["b", "c"], [2, 3]) == [False, True]


def test_a_document_with_a_new_time_is_new_again() -> None:
    seen = SeenKeys()
    assert seen.add(["a", "a", "a"], [1, 2, 2]) == [True, True, False]


def test_keys_before_the_bound_are_discarded_and_those_without_a_time_kept() -> None:
    seen = SeenKeys()
    seen.add(["old", "new", "timeless"], [1, 5, None])
    seen.discard_before(5)
    assert seen.add(["old", "new", "timeless"], [1, 5, None]) == [True, False, False]


def test_discarding_is_suggested_above_the_limit_only() -> None:
    seen = SeenKeys()
    seen.add(range(MAX_KEYS), range(MAX_KEYS))
    assert not seen.over_limit
    seen.add([MAX_KEYS], [MAX_KEYS])
    assert seen.over_limit
    seen.discard_before(MAX_KEYS)
    assert not seen.over_limit
