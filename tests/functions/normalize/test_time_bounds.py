"""Bounds for queries in the form in which a source stores its times."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from functions.normalize.mapping import Time
from functions.normalize.time_bounds import before, caught_up, newest, resumed, since, unordered

NOON = datetime(2026, 5, 6, 12, tzinfo=UTC)
ISO = Time(field="ts")
MILLIS = Time(field="ts", format="epoch_ms")
BERLIN = Time(field="ts", zone="Europe/Berlin")
DAY = Time(date="day", time="hour", zone="UTC").ordering
MINUTE = timedelta(minutes=1)


def test_the_newest_value_is_a_time_and_not_in_the_future() -> None:
    values = ["2026-05-06T11:00:00Z", "2026-05-06T13:00:00Z", "unknown"]
    assert newest(values, ISO, NOON) == "2026-05-06T11:00:00Z"
    assert newest(["unknown"], ISO, NOON) is None


@pytest.mark.parametrize(
    ("value", "time", "earlier"),
    [
        (NOON, ISO, NOON - MINUTE),
        ("2026-05-06T12:00:00.5Z", ISO, "2026-05-06T11:59:00"),
        ("2026-05-06 12:00:00", ISO, "2026-05-06 11:59:00"),
        (1_000_000, MILLIS, 940_000),
        ("unknown", ISO, "unknown"),
        ("2026-05-06", DAY, "2026-05-05"),
        # The second pass of the hour from 02:00 sorts among its first.
        ("2026-10-25 02:59:59", BERLIN, "2026-10-25 02:00:00"),
        ("2026-10-25 03:00:30", BERLIN, "2026-10-25 02:00:00"),
        ("2026-10-25 03:01:00", BERLIN, "2026-10-25 03:00:00"),
        ("2026-10-25T02:30:00+02:00", BERLIN, "2026-10-25T02:29:00"),
    ],
)
def test_an_earlier_time_has_the_form_of_its_value(value: Any, time: Time, earlier: Any) -> None:
    assert before(value, MINUTE, time) == earlier


@pytest.mark.parametrize(
    ("like", "time", "bound"),
    [
        (NOON, ISO, NOON),
        ("2020-01-01T00:00:00+02:00", ISO, "2026-05-06T14:00:00"),
        ("2020-01-01 00:00:00", ISO, "2026-05-06 12:00:00"),
        (5, MILLIS, NOON.timestamp() * 1000),
        ("2020-01-01 00:00:00", BERLIN, "2026-05-06 14:00:00"),
        ("2020-01-01", DAY, "2026-05-06"),
        (5, ISO, None),
        ("unknown", ISO, None),
    ],
)
def test_a_bound_has_the_form_of_a_stored_value(like: Any, time: Time, bound: Any) -> None:
    assert since(NOON, like, time) == bound


def test_a_bound_in_text_sorts_before_every_later_time() -> None:
    zone = timezone(timedelta(hours=2))
    bound = since(NOON, "2020-01-01T00:00:00.000+02:00", ISO)
    later = (NOON + timedelta(milliseconds=1)).astimezone(zone).isoformat(timespec="milliseconds")
    assert bound < later


@pytest.mark.parametrize(
    ("kind", "time", "says"),
    [
        ("number", ISO, "holds 'ts' as a number: write one of epoch_s"),
        ("text", MILLIS, "does not sort by time"),
        ("text", Time(field="ts", format="%d.%m.%Y"), "does not sort by time"),
    ],
)
def test_times_that_do_not_sort_are_named(kind: str, time: Time, says: str) -> None:
    assert says in str(unordered(kind, "ts", time))


@pytest.mark.parametrize(
    ("kind", "time"), [("date", ISO), ("text", ISO), ("number", MILLIS), ("date", MILLIS)]
)
def test_times_that_sort_are_accepted(kind: str, time: Time) -> None:
    assert unordered(kind, "ts", time) is None


@pytest.mark.parametrize(
    ("hours", "reads_from"), [(-1.0, -1.0), (0.0, 0.0), (0.05, 0.05), (2.0, -2.0), (30.0, -30.0)]
)
def test_reading_goes_back_as_far_as_it_was_ahead(hours: float, reads_from: float) -> None:
    last, at = (NOON + timedelta(hours=h) for h in (hours, reads_from))
    assert resumed(last, NOON, 5 * MINUTE) == at
    assert caught_up(last, NOON, 5 * MINUTE, ISO) == at
    assert caught_up(last.timestamp() * 1e3, NOON, 5 * MINUTE, MILLIS) == at.timestamp() * 1e3
