from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.engine.triggers import cron

WEDNESDAY = datetime(2026, 5, 6, 12, 0, 30, tzinfo=UTC)

moments = st.integers(0, 4_000_000_000).map(lambda s: datetime.fromtimestamp(s, UTC))
# A minute field, and the minutes that it means.
minutes = st.one_of(
    st.just(("*", range(60))),
    st.integers(1, 59).map(lambda n: (f"*/{n}", range(0, 60, n))),
    st.lists(st.integers(0, 59), min_size=1, max_size=4).map(lambda n: (",".join(map(str, n)), n)),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("* * * * *", "2026-05-06 12:01"),
        ("*/5 * * * *", "2026-05-06 12:05"),
        ("7-59/20 * * * *", "2026-05-06 12:07"),
        ("5/30 * * * *", "2026-05-06 12:05"),
        ("0 12 * * *", "2026-05-07 12:00"),
        ("30 2 * * mon-fri", "2026-05-07 02:30"),
        ("0 0 * * sun", "2026-05-10 00:00"),
        ("0 0 * * 7", "2026-05-10 00:00"),
        ("15,45 6 1 JAN *", "2027-01-01 06:15"),
        ("0 0 29 2 *", "2028-02-29 00:00"),
        ("0 0 13 * fri", "2026-05-08 00:00"),  # either is enough
        ("0 0 */2 * fri", "2026-05-15 00:00"),  # a step does not count as a day that is given
        ("0 0 L * *", "2026-05-31 00:00"),
        ("0 0 * * 5L", "2026-05-29 00:00"),
        ("0 0 * * 1#2", "2026-05-11 00:00"),
    ],
)
def test_the_next_moment_is_the_one_that_cron_means(text: str, expected: str) -> None:
    assert cron(text).next_after(WEDNESDAY) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", r"'' is not a valid cron line \(expected minute, hour"),
        ("* * * *", "is not a valid cron line"),
        ("0 * * * * *", "is not a valid cron line"),
        ("60 * * * *", r"'60' is not a valid minute \(expected \*, 0 to 59"),
        ("* 24 * * *", "'24' is not a valid hour"),
        ("* * 0 * *", "'0' is not a valid day"),
        ("* * * foo *", "'foo' is not a valid month"),
        ("* * * * 8", "'8' is not a valid weekday"),
        ("*/0 * * * *", "is not a valid minute"),
        ("*/ * * * *", "is not a valid minute"),
        ("9-5 * * * *", "is not a valid minute"),
        ("1,,2 * * * *", "is not a valid minute"),
        ("-1 * * * *", "is not a valid minute"),
        (f"{'9' * 5000} * * * *", "is not a valid minute"),
        ("0 0 30 2 *", r"'0 0 30 2 \*' never occurs"),
        ("0 0 31 4,6 *", "never occurs"),
    ],
)
def test_a_wrong_line_is_told_by_its_field(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        cron(text)


@given(minutes, st.integers(0, 23), moments)
def test_the_next_moment_is_later_and_matches_and_is_the_first(
    minute: tuple[str, Sequence[int]], hour: int, moment: datetime
) -> None:
    times = cron(f"{minute[0]} {hour} * * *")
    found = times.next_after(moment)
    assert found > moment
    assert (found.hour, found.second, found.microsecond) == (hour, 0, 0)
    assert found.minute in minute[1]
    assert found - moment <= timedelta(days=1)
    assert times.next_after(found - timedelta(microseconds=1)) == found


def test_times_are_utc_wherever_the_caller_is() -> None:
    tokyo = WEDNESDAY.astimezone(timezone(timedelta(hours=9)))
    found = cron("0 13 * * *").next_after(tokyo)
    assert (found.tzinfo, found.hour, found.day) == (UTC, 13, 6)


@given(st.text(max_size=20))
def test_any_text_is_a_line_or_a_value_error(text: str) -> None:
    with suppress(ValueError):
        cron(text)


def test_a_moment_that_was_missed_is_made_up_for_once() -> None:
    nightly = cron("0 2 * * *")
    assert not nightly.due(WEDNESDAY, last=WEDNESDAY - timedelta(hours=1))
    assert nightly.due(WEDNESDAY, last=WEDNESDAY - timedelta(days=3))
    assert not nightly.due(WEDNESDAY, last=WEDNESDAY)
