"""Triggers: periods, cron lines, rows, files and requests."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.engine.triggers import Rows, cron, every, files, request, rows
from tests.conftest import NOW

NOON = NOW.replace(second=0)


def after(**span: float) -> datetime:
    return NOON + timedelta(**span)


@pytest.mark.parametrize("text", ["", "5", "s", "5 s", "-5s", "0s", "0.0m", "5min", "1h30m", "1w"])
def test_an_invalid_period_is_refused_with_what_is_expected(text: str) -> None:
    with pytest.raises(ValueError, match="is not a valid period") as e:
        every(text)
    assert repr(text) in str(e.value)


def test_an_invalid_pause_is_refused() -> None:
    with pytest.raises(ValueError, match="'soon' is not a valid period"):
        rows("metrics", pause="soon")


def test_a_function_that_never_ran_is_due() -> None:
    assert every("5m").due(NOON, last=None)


def test_it_is_due_once_in_each_full_period_of_the_clock() -> None:
    trigger = every("5m")
    assert not trigger.due(after(minutes=4, seconds=59), last=NOON)
    assert trigger.due(after(minutes=5), last=NOON)
    assert trigger.due(after(minutes=5), last=after(minutes=4, seconds=59))


def test_periods_that_were_missed_are_due_once() -> None:
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


@pytest.mark.parametrize("pattern", ["", "/", "//"])
def test_a_pattern_without_a_name_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="is not a valid pattern of files"):
        files(pattern)


@pytest.mark.parametrize("path", ["a/b", "-x", "ä", "a b"])
def test_a_request_path_of_several_words_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="is not a valid request path"):
        request(path)


WEDNESDAY = datetime(2026, 5, 6, 12, 0, 30, tzinfo=UTC)

times_of_day = st.integers(0, 4_000_000_000).map(lambda s: datetime.fromtimestamp(s, UTC))
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
def test_the_next_time_is_the_one_that_cron_means(text: str, expected: str) -> None:
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
def test_an_invalid_line_is_refused_by_its_field(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        cron(text)


@given(minutes, st.integers(0, 23), times_of_day)
def test_the_next_time_is_later_and_matches_and_is_the_first(
    minute: tuple[str, Sequence[int]], hour: int, ts: datetime
) -> None:
    times = cron(f"{minute[0]} {hour} * * *")
    following = times.next_after(ts)
    assert following > ts
    assert (following.hour, following.second, following.microsecond) == (hour, 0, 0)
    assert following.minute in minute[1]
    assert following - ts <= timedelta(days=1)
    assert times.next_after(following - timedelta(microseconds=1)) == following


def test_times_are_utc_wherever_the_caller_is() -> None:
    tokyo = WEDNESDAY.astimezone(timezone(timedelta(hours=9)))
    following = cron("0 13 * * *").next_after(tokyo)
    assert (following.tzinfo, following.hour, following.day) == (UTC, 13, 6)


@given(st.text(max_size=20))
def test_any_text_is_a_line_or_a_value_error(text: str) -> None:
    with suppress(ValueError):
        cron(text)


def test_a_time_that_was_missed_is_due_once() -> None:
    nightly = cron("0 2 * * *")
    assert not nightly.due(WEDNESDAY, last=WEDNESDAY - timedelta(hours=1))
    assert nightly.due(WEDNESDAY, last=WEDNESDAY - timedelta(days=3))
    assert not nightly.due(WEDNESDAY, last=WEDNESDAY)
