"""Local times to UTC where the clock is set back or forward, told by the order of a series."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from functions.normalize.local_time import LocalClock, repeated_span

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TICK = timedelta(microseconds=1)
BERLIN = "Europe/Berlin"
# Four hours before the clock is set back.
ENDS = {
    BERLIN: datetime(2026, 10, 24, 21, tzinfo=UTC),
    "America/New_York": datetime(2026, 11, 1, 2, tzinfo=UTC),
    "Australia/Lord_Howe": datetime(2026, 4, 4, 11, tzinfo=UTC),  # by half an hour
}


def local_of(utc: datetime, zone: str) -> int:
    return (utc.astimezone(ZoneInfo(zone)).replace(tzinfo=UTC) - EPOCH) // TICK


def micros(utc: datetime) -> int:
    return (utc - EPOCH) // TICK


def berlin(*clock: str) -> np.ndarray:
    """Times of 2026-10-25 as they stand in a file."""
    naive = [datetime.fromisoformat(f"2026-10-25T{text}+00:00") for text in clock]
    return np.array([micros(each) for each in naive])


def passes(*clock: str, series: list[str] | None = None, reader: LocalClock | None = None) -> str:
    """The pass of each time as 1 or 2."""
    local = berlin(*clock)
    utc = (reader or LocalClock(BERLIN)).utc(local, series).utc
    return "".join(str(3 - round((a - b) / 3.6e9)) for a, b in zip(local, utc, strict=True))


@pytest.mark.parametrize("zone", ENDS)
@pytest.mark.parametrize("step_s", [5, 60, 300, 900, 1200, 1800, 3600])
@pytest.mark.parametrize("order", [1, -1])
def test_every_instant_around_a_clock_set_back_is_found_again(
    zone: str, step_s: int, order: int
) -> None:
    instants = [ENDS[zone] + timedelta(seconds=s) for s in range(0, 8 * 3600, step_s)][::order]
    local = np.array([local_of(each, zone) for each in instants])
    result = LocalClock(zone).utc(local)
    assert result.utc.tolist() == [micros(each) for each in instants]
    assert not result.assumed.any()
    assert not result.skipped.any()


@pytest.mark.parametrize("size", [1, 3, 7, 50])
@pytest.mark.parametrize("step_s", [60, 300, 1800])
@pytest.mark.parametrize("order", [1, -1])
def test_follow_up_reads_go_on_where_the_last_one_was(size: int, step_s: int, order: int) -> None:
    instants = [ENDS[BERLIN] + timedelta(seconds=s) for s in range(0, 8 * 3600, step_s)][::order]
    local = np.array([local_of(each, BERLIN) for each in instants])
    clock = LocalClock(BERLIN)
    pages = [clock.utc(local[i : i + size]).utc for i in range(0, len(local), size)]
    assert np.concatenate(pages).tolist() == [micros(each) for each in instants]


def test_servers_are_told_apart() -> None:
    order = ["a", "b", "a", "b", "a", "b"]
    times = ("02:30", "01:50", "02:50", "02:10", "02:10", "02:30")
    assert passes(*times, series=order) == "111121"


def test_a_late_row_does_not_begin_the_second_pass() -> None:
    times = ("01:55", "02:00", "02:05", "02:04:57", "02:10", "02:15", "02:55", "02:00", "02:05")
    assert passes(*times) == "111111122"


def test_hours_that_come_twice_are_both_passes() -> None:
    assert passes("00:00", "01:00", "02:00", "02:00", "03:00", "04:00")[2:4] == "12"


def test_times_that_a_source_sorts_as_text_are_both_passes() -> None:
    times = ("01:55", "02:00", "02:00", "02:05", "02:05", "02:10", "02:10", "03:00", "03:05")
    assert passes(*times)[1:7] == "121212"


def test_rows_of_one_time_stay_together() -> None:
    assert passes("01:55", "01:55", "02:00", "02:00", "02:05", "02:05")[2:] == "1111"


def test_a_file_that_begins_or_ends_in_the_repeated_hour_is_told_by_its_neighbours() -> None:
    assert passes("02:30", "02:45", "03:00", "03:15")[:2] == "22"
    assert passes("01:30", "01:45", "02:00", "02:15")[2:] == "11"
    assert passes("02:30", "02:45", "02:00", "02:15") == "1122"


def test_a_file_of_one_pass_alone_is_assumed_to_be_the_first_and_counted() -> None:
    result = LocalClock(BERLIN).utc(berlin("02:00", "02:15", "02:30"))
    assert result.assumed.tolist() == [True] * 3
    assert passes("02:00", "02:15", "02:30") == "111"


def test_the_second_pass_is_out_of_question_while_it_lies_in_the_future() -> None:
    latest = micros(datetime(2026, 10, 25, 0, 30, tzinfo=UTC))
    result = LocalClock(BERLIN).utc(berlin("02:15"), None, latest)
    assert result.utc[0] == micros(datetime(2026, 10, 25, 0, 15, tzinfo=UTC))
    assert not result.assumed.any()


def test_a_file_that_begins_again_for_another_disk_is_told_apart() -> None:
    block = ("01:30", "02:00", "02:30", "02:00", "02:30", "03:00")
    assert passes(*block, *block) == passes(*block) * 2


def test_times_that_the_clock_skips_do_not_exist() -> None:
    text = [f"2026-03-29T{hour:02}:{minute:02}+00:00" for hour in (1, 2, 3) for minute in (0, 30)]
    local = np.array([micros(datetime.fromisoformat(each)) for each in text])
    result = LocalClock(BERLIN).utc(local)
    assert result.skipped.tolist() == [False, False, True, True, False, False]
    assert result.utc[4] == micros(datetime(2026, 3, 29, 1, tzinfo=UTC))


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "Etc/GMT-3"])
def test_a_zone_without_changes_has_one_time_for_each(zone: str) -> None:
    instant = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    local = np.array([local_of(instant, zone)] * 2)
    assert LocalClock(zone).utc(local).utc.tolist() == [micros(instant)] * 2


@pytest.mark.parametrize("year", [1, 1970, 9999])
def test_years_far_away_are_no_error(year: int) -> None:
    local = np.array([(datetime(year, 7, 1, tzinfo=UTC) - EPOCH) // TICK])
    assert not LocalClock(BERLIN).utc(local).skipped.any()


def test_a_table_of_no_rows_is_no_error() -> None:
    assert LocalClock(BERLIN).utc(np.empty(0, np.int64)).utc.tolist() == []


def test_the_repeated_hour_is_named_during_it_and_for_a_day_after() -> None:
    span = (datetime(2026, 10, 25, 2), datetime(2026, 10, 25, 3))  # noqa: DTZ001
    for clock in (span[0], span[1] - TICK, span[1] + timedelta(hours=2)):
        assert repeated_span(clock, BERLIN) == span
    assert repeated_span(span[0] - TICK, BERLIN) is None
    assert repeated_span(span[0], "UTC") is None
