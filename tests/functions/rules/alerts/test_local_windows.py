import zoneinfo
from datetime import UTC, date, datetime

import pytest

from functions.rules.alerts.local_windows import instant, parse_recurrence, zone_called

BERLIN = zone_called("Europe/Berlin")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("local", "last", "expected"),
    [
        ("2026-03-28 02:30", False, "2026-03-28 01:30"),
        ("2026-03-29 02:30", False, "2026-03-29 01:00"),  # skipped: the change
        ("2026-03-29 02:30", True, "2026-03-29 01:00"),
        ("2026-03-29 03:00", False, "2026-03-29 01:00"),
        ("2026-10-25 02:30", False, "2026-10-25 00:30"),  # repeated: the first
        ("2026-10-25 02:30", True, "2026-10-25 01:30"),  # … and the second
        ("2026-10-25 03:00", True, "2026-10-25 02:00"),
    ],
)
def test_local_times_have_an_instant_also_where_the_clock_changes(
    local: str, last: bool, expected: str
) -> None:
    assert instant(datetime.fromisoformat(local), BERLIN, last=last) == utc(expected)


@pytest.mark.parametrize(
    ("text", "day", "occurs"),
    [
        ("FREQ=DAILY", "2026-05-07", True),
        ("FREQ=DAILY;INTERVAL=2", "2026-05-07", False),
        ("FREQ=DAILY;INTERVAL=2", "2026-05-08", True),
        ("FREQ=DAILY", "2026-05-05", False),  # before it began
        ("FREQ=DAILY;UNTIL=20260507T000000Z", "2026-05-08", False),
        ("FREQ=WEEKLY", "2026-05-13", True),
        ("FREQ=WEEKLY;BYDAY=SA,SU", "2026-05-09", True),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=MO", "2026-05-11", False),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=MO", "2026-05-18", True),
        ("FREQ=MONTHLY", "2026-06-06", True),
        ("FREQ=MONTHLY;BYDAY=2TU", "2026-05-12", True),
        ("FREQ=MONTHLY;BYDAY=2TU", "2026-05-19", False),
        ("FREQ=MONTHLY;BYDAY=-1FR", "2026-05-29", True),
        ("FREQ=MONTHLY;BYMONTHDAY=-1", "2026-05-31", True),
        ("RRULE:FREQ=MONTHLY;BYMONTHDAY=15", "2026-05-15", True),
    ],
)
def test_a_recurrence_names_its_days(text: str, day: str, occurs: bool) -> None:
    assert parse_recurrence(text)(date(2026, 5, 6), date.fromisoformat(day)) is occurs


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("FREQ=HOURLY", "FREQ is 'HOURLY', expected DAILY, WEEKLY or MONTHLY"),
        ("FREQ=DAILY;COUNT=3", "'COUNT=3' is not a valid part"),
        ("FREQ=WEEKLY;BYDAY=XX", "BYDAY has 'XX'"),
        ("FREQ=WEEKLY;BYDAY=2TU", "expected FREQ=MONTHLY"),
        ("FREQ=DAILY;INTERVAL=0", "INTERVAL is '0'"),
        ("FREQ=DAILY;UNTIL=soon", "UNTIL is 'SOON'"),
        ("daily", "'DAILY' is not a valid part"),
    ],
)
def test_what_is_not_a_recurrence_is_refused_in_words(text: str, named: str) -> None:
    with pytest.raises(ValueError, match=r"expected") as error:
        parse_recurrence(text)
    assert named in str(error.value)


def test_a_zone_that_does_not_exist_is_refused_with_an_example() -> None:
    with pytest.raises(ValueError, match="expected an IANA name such as 'Europe/Berlin'"):
        zone_called("Europe/Berln")


def test_a_machine_without_data_of_zones_is_told_how_to_get_them() -> None:
    before = zoneinfo.TZPATH
    zoneinfo.reset_tzpath(to=[])
    zoneinfo.ZoneInfo.clear_cache()
    try:
        if zoneinfo.available_timezones():
            assert zone_called("Europe/Berlin") is not None  # the package tzdata has them
            return
        with pytest.raises(ValueError, match="install the system's package tzdata"):
            zone_called("Europe/Berlin")
        assert zone_called("UTC") is UTC
    finally:
        zoneinfo.reset_tzpath(to=before)
        zoneinfo.ZoneInfo.clear_cache()
