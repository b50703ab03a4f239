from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.rules.odds.breaches import (
    ANY_SAMPLE,
    CARRY_STEPS,
    Breach,
    breaches,
    breaching,
    first_breach_within,
    outcomes,
)

LEVEL = np.array([1.0])
NAN = float("nan")


def series(text: str) -> np.ndarray:
    """One series of a character a step: `x` at the level, `.` below it, `?` missing."""
    return np.array([[{"x": 1.0, ".": 0.0, "?": NAN}[c] for c in text]])


def spans(text: str, **options: Any) -> list[tuple[int, int]]:
    return [(b.start, b.stop) for b in breaches(series(text), LEVEL, **options)]


def naive(text: str, steps: int = 3, quiet: int = 24, forget: int = 96) -> list[tuple[int, int]]:
    """The same read step by step."""
    result: list[tuple[int, int]] = []
    run = without = 0
    for i, c in enumerate(text):
        run = run + 1 if c == "x" else 0
        without += c == "."
        if run < steps:
            continue
        start = i - steps + 1
        last = result[-1] if result else (0, start - forget)
        if _quiet(text, last[1], start) < quiet and start - last[1] < forget:
            result[-1] = (last[0], i + 1)
        else:
            result.append((start, i + 1))
    return result


def _quiet(text: str, stop: int, start: int) -> int:
    return sum(c != "?" for c in text[stop:start])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("..xx..xx..", []),
        ("..xxx.....", [(2, 5)]),
        ("..xx?x....", []),
        ("xxx......x", [(0, 3)]),
        ("..xxx" + "." * 23 + "xxx", [(2, 31)]),
        ("..xxx" + "." * 24 + "xxx", [(2, 5), (29, 32)]),
        ("..xxx" + "." * 23 + "?" + "xxx", [(2, 32)]),
        ("..xxx" + "?" * 96 + "xxx", [(2, 5), (101, 104)]),
    ],
)
def test_a_breach_is_three_steps_in_a_row_after_two_hours_without(text, expected):
    assert spans(text) == expected


def test_a_rule_may_ask_for_any_single_step() -> None:
    assert spans("..x..." + "." * 24 + "xx", steps=ANY_SAMPLE) == [(2, 3), (30, 32)]


steps_text = st.text(st.sampled_from("xxx..?"), max_size=160)


@given(steps_text, st.sampled_from([1, 3]), st.sampled_from([4, 24]))
def test_breaches_are_those_that_are_seen_step_by_step(text, steps, quiet):
    assert spans(text, steps=steps, quiet=quiet) == naive(text, steps, quiet)


@given(
    st.text(st.sampled_from("xxxx.....?"), min_size=120, max_size=300),
    st.integers(CARRY_STEPS, 119),
)
def test_pieces_that_overlap_have_the_breaches_of_the_whole(text, cut):
    whole = spans(text)
    late = [(start, stop) for start, stop in whole if start >= cut]
    piece = [
        (start + cut - CARRY_STEPS, stop + cut - CARRY_STEPS)
        for start, stop in spans(text[cut - CARRY_STEPS :])
    ]
    assert [(start, stop) for start, stop in piece if start >= cut] == late


def test_values_are_compared_with_the_level_of_their_own_row() -> None:
    values = np.array([[0.0, 5.0, 5.0, 5.0], [0.0, 5.0, 5.0, 5.0]])
    assert breaches(values, np.array([6.0, 5.0])) == [Breach(1, 1, 4)]


def test_an_empty_history_has_no_breach() -> None:
    assert breaches(np.zeros((2, 0)), np.array([1.0, 1.0])) == []


@given(steps_text, st.integers(1, 96))
def test_the_first_breach_begins_within_the_horizon(text, horizon):
    starts = [i for i in range(len(text)) if text[i : i + 3] == "xxx" and i < horizon]
    assert first_breach_within(series(text), LEVEL, horizon)[0] == (starts[0] if starts else -1)


def test_no_new_breach_can_begin_from_its_third_step_to_two_hours_after_it() -> None:
    mask = breaching(series("..xxxx" + "." * 30), LEVEL)[0]
    assert np.flatnonzero(mask).tolist() == list(range(5, 30))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("...xxx....", 1.0),
        ("....xxx...", 0.0),
        ("....xx....", 0.0),
        ("....xx", 0.0),
        ("....x", NAN),
        ("?..?..", 0.0),
        ("???...", NAN),
        ("???xxx", 1.0),
    ],
)
def test_an_outcome_is_known_once_its_time_is_over_and_was_seen(text, expected):
    came = outcomes(series(text), LEVEL, np.array([0]), (4,))
    np.testing.assert_equal(came.item(), expected)


@given(steps_text.filter(bool), st.sampled_from([1, 3]))
def test_outcomes_agree_with_the_first_breach_after_each_origin(text, steps):
    values = series(text)
    origins = np.arange(len(text))
    came = outcomes(values, LEVEL, origins, (12,), steps)[0, :, 0]
    first = [first_breach_within(values[:, i:], LEVEL, 12, steps)[0] for i in origins]
    assert ((came == 1) == (np.array(first) >= 0)).all()
