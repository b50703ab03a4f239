"""Numbers, durations and times as text."""

from datetime import UTC, datetime, timedelta

import pytest

from web.display import formatting

NOW = datetime(2026, 3, 1, 2, 11, 42, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 s"), (3, "3 s"), (60, "1 min"), (130, "2 min 10 s"), (599, "9 min 59 s"),
        (3599, "1 h"), (3900, "1 h 5 min"), (86_400, "1 d"), (273_700, "3 d 4 h"), (-5, "0 s"),
    ],
)  # fmt: skip
def test_a_duration_has_at_most_two_units(seconds: float, expected: str) -> None:
    assert formatting.duration(seconds) == expected


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [(-3, "less than 5 min"), (4, "less than 5 min"), (51, "50 min"), (131, "2 h 10 min")],
)
def test_a_time_ahead_is_rounded_to_five_minutes(minutes: float, expected: str) -> None:
    assert formatting.ahead(NOW + timedelta(minutes=minutes), NOW) == expected


def test_a_time_has_its_zone_and_a_distant_one_its_day() -> None:
    assert formatting.clock(NOW - timedelta(seconds=37), NOW) == "02:11:05 UTC"
    assert formatting.clock(NOW - timedelta(days=2), NOW) == "27 Feb 02:11 UTC"
    assert formatting.clock_minutes(NOW, NOW) == "02:11 UTC"


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (None, "–"),
        (0.0, "0 %"),
        (0.004, "< 1 %"),
        (0.81, "81 %"),
        (0.997, "> 99 %"),
        (1.0, "100 %"),
    ],
)
def test_a_probability_is_not_rounded_to_certainty(share: float | None, expected: str) -> None:
    assert formatting.percent(share) == expected


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (None, "%", "–"), (0.0, "%", "0.0 %"), (9.96, "%", "10 %"), (83.4, "%", "83 %"),
        (2.2, "load", "2.20"), (14.26, "load", "14.3"), (6.0, "sockets", "6"),
        (1204.0, "sockets", "1,204"), (35.04, "MB/s", "35.0 MB/s"), (140.2, "MB/s", "140 MB/s"),
    ],
)  # fmt: skip
def test_a_value_has_two_or_three_digits(value: float | None, unit: str, expected: str) -> None:
    assert formatting.reading(value, unit) == expected


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (12_340_000, "12.3 MB"), (2**31, "2.1 GB")],
)
def test_a_size_is_in_its_largest_unit(count: int, text: str) -> None:
    assert formatting.size(count) == text
