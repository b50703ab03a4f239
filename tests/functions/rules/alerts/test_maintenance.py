from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.rules.alerts.local_windows import zone_called
from functions.rules.alerts.maintenance import Maintenance, in_maintenance
from functions.rules.alerts.rule import ServerFacts


def window(**fields: Any) -> Maintenance:
    return Maintenance(**({"name": "w", "zone": "Europe/Berlin"} | fields))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


NIGHTLY = {"starts": "2026-01-01 22:00", "repeat": "FREQ=DAILY"}


@pytest.mark.parametrize(
    ("fields", "at", "start", "end"),
    [
        (NIGHTLY | {"to": "06:00"}, "2026-02-01 23:00", "2026-02-01 21:00", "2026-02-02 05:00"),
        # The clock is set forward: by the clock it is 7 hours long, by duration 8.
        (NIGHTLY | {"to": "06:00"}, "2026-03-29 00:00", "2026-03-28 21:00", "2026-03-29 04:00"),
        (NIGHTLY | {"duration": "8h"}, "2026-03-29 00:00", "2026-03-28 21:00", "2026-03-29 05:00"),
        # It is set back: 9 hours by the clock, 8 by duration.
        (NIGHTLY | {"to": "06:00"}, "2026-10-25 00:00", "2026-10-24 20:00", "2026-10-25 05:00"),
        (NIGHTLY | {"duration": "8h"}, "2026-10-25 00:00", "2026-10-24 20:00", "2026-10-25 04:00"),
        # It begins in the hour that is skipped: at the change.
        (
            {"starts": "2026-03-29 02:30", "to": "04:00"},
            "2026-03-29 01:00", "2026-03-29 01:00", "2026-03-29 02:00",
        ),
        # It begins and ends in the hour that is repeated: from the first pass to the second.
        (
            {"starts": "2026-10-25 02:10", "to": "02:40"},
            "2026-10-25 00:10", "2026-10-25 00:10", "2026-10-25 01:40",
        ),
        (
            {"cron": "0 22 * * sat", "duration": "4h"},
            "2026-10-24 21:00", "2026-10-24 20:00", "2026-10-25 00:00",
        ),
    ],
)  # fmt: skip
def test_a_window_is_right_when_the_clock_changes(
    fields: dict[str, str], at: str, start: str, end: str
) -> None:
    assert window(**fields).occurrence(utc(at)) == (utc(start), utc(end))


@pytest.mark.parametrize("at", ["2026-02-01 20:59", "2026-02-02 05:00", "2025-12-31 23:00"])
def test_outside_of_a_window_there_is_none(at: str) -> None:
    assert window(**NIGHTLY, to="06:00").occurrence(utc(at)) is None


def test_a_window_covers_the_servers_of_its_scope() -> None:
    db = window(**NIGHTLY, to="06:00", servers=("db*",), sites=("fra",))
    ((inside, _),) = in_maintenance((db,), utc("2026-02-01 23:00"))
    facts = [ServerFacts("DB1", site="fra"), ServerFacts("db1", site="ber"), ServerFacts("web1")]
    assert [inside.covers(each) for each in facts] == [True, False, False]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"starts": "2026-01-01 22:00"}, "expected one of to and duration"),
        ({"to": "06:00"}, "expected one of starts and cron"),
        ({"starts": "tonight", "to": "06:00"}, "starts is 'tonight'"),
        ({"starts": "2026-01-01 22:00", "to": "6"}, "to is '6'"),
        ({"starts": "2026-01-01 22:00", "duration": "8 h"}, "duration: '8 h'"),
        ({"starts": "2026-01-01 22:00", "repeat": "x", "to": "06:00"}, "repeat is 'x'"),
        ({"starts": "2026-01-01 22:00", "repeat": "FREQ=DAILY", "duration": "8d"}, "at most 7d"),
        ({"cron": "0 25 * * *", "duration": "1h"}, "cron is '0 25 * * *'"),
        ({"cron": "0 2 * * *", "repeat": "FREQ=DAILY", "duration": "1h"}, "cron repeats by itself"),
        ({"zone": "Mars/Base", "starts": "2026-01-01 22:00", "to": "06:00"}, "zone is 'Mars/Base'"),
    ],
)
def test_a_window_that_cannot_be_is_refused_in_words(fields: dict[str, str], named: str) -> None:
    with pytest.raises(ValueError, match=r"expected|repeats") as error:
        window(**fields)
    assert named in str(error.value)


@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)),  # noqa: DTZ001 - a zone is added
    st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"]),
)
def test_every_night_of_the_year_is_in_a_nightly_window(local: datetime, zone: str) -> None:
    nightly = window(zone=zone, starts="2025-12-01 22:00", repeat="FREQ=DAILY", to="06:00")
    now = local.replace(tzinfo=UTC)
    hour = now.astimezone(zone_called(zone)).hour
    occurrence = nightly.occurrence(now)
    assert (occurrence is not None) == (hour >= 22 or hour < 6)
    if occurrence is not None:
        assert timedelta(hours=7) <= occurrence.end - occurrence.start <= timedelta(hours=9)


@pytest.mark.parametrize(
    ("fields", "at", "start"),
    [
        ({"starts": "2026-01-03 22:00", "duration": "1h"}, "2026-01-01 00:00", "2026-01-03 21:00"),
        ({"starts": "2026-01-03 22:00", "duration": "1h"}, "2026-01-03 21:30", "2026-01-03 21:00"),
        (NIGHTLY | {"duration": "30m"}, "2026-02-01 22:00", "2026-02-02 21:00"),
        ({"cron": "0 22 * * sat", "to": "23:00"}, "2026-01-04 00:00", "2026-01-10 21:00"),
        ({"cron": "15 3 1 * *", "duration": "1h"}, "2026-01-04 00:00", "2026-02-01 02:15"),
    ],
)  # fmt: skip
def test_the_next_occurrence_is_that_which_is_on_or_comes_first(
    fields: dict[str, str], at: str, start: str
) -> None:
    upcoming = window(**fields).upcoming(utc(at))
    assert upcoming is not None
    assert upcoming.start == utc(start)


def test_a_window_that_is_over_has_no_next_occurrence() -> None:
    once = window(starts="2026-01-03 22:00", duration="1h")
    assert once.upcoming(utc("2026-01-03 23:00")) is None
