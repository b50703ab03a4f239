from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.engine.cron import parse_cron
from functions.engine.triggers import cron

WEDNESDAY = datetime(2026, 5, 6, 12, 0, 30, tzinfo=UTC)

moments = st.integers(0, 4_000_000_000).map(lambda s: datetime.fromtimestamp(s, UTC))
minutes = st.one_of(
    st.just("*"),
    st.integers(1, 59).map("*/{}".format),
    st.lists(st.integers(0, 59), min_size=1, max_size=4).map(lambda n: ",".join(map(str, n))),
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
    ],
)
def test_the_next_moment_is_the_one_that_cron_means(text: str, expected: str) -> None:
    assert cron(text).next_after(WEDNESDAY) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is no cron line: write minute, hour"),
        ("* * * *", "is no cron line"),
        ("60 * * * *", "'60' is no minute: write .* from 0 to 59"),
        ("* 24 * * *", "is no hour"),
        ("* * 0 * *", "is no day"),
        ("* * * foo *", "'foo' is no month"),
        ("* * * * 8", "is no weekday"),
        ("*/0 * * * *", "is no minute"),
        ("*/ * * * *", "is no minute"),
        ("9-5 * * * *", "is no minute"),
        ("1,,2 * * * *", "is no minute"),
        ("-1 * * * *", "is no minute"),
        ("0 0 30 2 *", "names a day that never comes"),
    ],
)
def test_a_wrong_line_is_told_by_its_field(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        cron(text)


@given(minutes, st.integers(0, 23), moments)
def test_the_next_moment_is_later_and_matches_and_is_the_first(
    minute: str, hour: int, moment: datetime
) -> None:
    times = parse_cron(f"{minute} {hour} * * *")
    found = times.next_after(moment)
    assert found > moment
    assert (found.hour, found.second) == (hour, 0)
    assert found.minute in times.minutes
    assert found - moment <= timedelta(days=1)
    assert times.next_after(found - timedelta(microseconds=1)) == found


@given(st.text(max_size=20))
def test_any_text_is_a_line_or_a_value_error(text: str) -> None:
    with suppress(ValueError):
        parse_cron(text)


def test_a_moment_that_was_missed_is_made_up_for_once() -> None:
    nightly = cron("0 2 * * *")
    assert not nightly.due(WEDNESDAY, last=WEDNESDAY - timedelta(hours=1))
    assert nightly.due(WEDNESDAY, last=WEDNESDAY - timedelta(days=3))
    assert not nightly.due(WEDNESDAY, last=WEDNESDAY)
