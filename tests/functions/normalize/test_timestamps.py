"""The one time policy: no unit and no zone is guessed, by whatever way a value comes."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from functions.normalize.mapping import Time
from functions.normalize.timestamps import (
    MISSING,
    InvalidTimestamp,
    NotATime,
    UnitMissing,
    ZoneMissing,
    micros,
)

NOON = datetime(2026, 5, 6, 12, tzinfo=UTC)
NOON_S = int(NOON.timestamp())
NOON_US = NOON_S * 1_000_000


def read(column: Any, **time: str) -> tuple[list[int], list[InvalidTimestamp]]:
    errors: list[InvalidTimestamp] = []
    times = micros(column, Time(field="ts", **time), lambda _i, _v, error: errors.append(error))
    return times.tolist(), errors


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (NOON_S, UnitMissing), (float(NOON_S), UnitMissing), (str(NOON_S), UnitMissing),
        (NOON_S * 1000, UnitMissing), (NOON.replace(tzinfo=None), ZoneMissing),
        ("2026-05-06T12:00:00", ZoneMissing), ("2026-05-06", ZoneMissing),
        ("yesterday", InvalidTimestamp), (True, NotATime), ([NOON], NotATime),
        (date(2026, 5, 6), NotATime),
    ],
)  # fmt: skip
def test_a_time_without_unit_or_zone_is_refused_and_the_others_are_read(
    value: Any, error: type[InvalidTimestamp]
) -> None:
    times, errors = read([NOON, value])
    assert times == [NOON_US, MISSING]
    assert [type(each) for each in errors] == [error]
    assert errors[0].remedy


@pytest.mark.parametrize(
    "column",
    [pa.array([NOON_S]), pa.array([float(NOON_S)]), pa.array([str(NOON_S)]),
     pa.array([0], pa.timestamp("us")), pa.array(["2026-05-06 12:00"])],
)  # fmt: skip
def test_arrays_are_held_to_the_same_policy(column: pa.Array) -> None:
    times, errors = read(column)
    assert times == [MISSING]
    assert isinstance(errors[0], UnitMissing | ZoneMissing)


@pytest.mark.parametrize(
    ("column", "time"),
    [
        (pa.array([NOON, None], pa.timestamp("ms", "Europe/Berlin")), {}),
        (pa.array(["2026-05-06T14:00:00+02:00", None]), {}),
        (pa.array(["2026-05-06T12:00:00Z", ""]), {}),
        (pa.array([NOON.replace(tzinfo=None), None], pa.timestamp("us")), {"zone": "UTC"}),
        (pa.array(["2026-05-06 14:00", None]), {"zone": "Europe/Berlin"}),
        (pa.array([NOON_S, None]), {"format": "epoch_s"}),
        (pa.array([str(NOON_S * 1000), None]), {"format": "epoch_ms"}),
        ([NOON_S * 1_000_000_000, None], {"format": "epoch_ns"}),
        (["06.05.2026 12:00", None], {"format": "%d.%m.%Y %H:%M", "zone": "UTC"}),
    ],
)
def test_a_stated_format_and_zone_are_followed_and_nothing_is_missing(
    column: Any, time: dict[str, str]
) -> None:
    assert read(column, **time) == ([NOON_US, MISSING], [])


def test_the_fast_way_and_the_slow_way_agree() -> None:
    column: list[Any] = [NOON_S + i * 0.25 for i in range(9)]
    fast, _ = read(column, format="epoch_s")
    slow, _ = read([*column, "x"], format="epoch_s")
    np.testing.assert_array_equal(fast, slow[:-1])


@pytest.mark.parametrize("seconds", [0, -1, 4e12, 1e300, float("nan"), float("inf")])
def test_a_number_that_is_not_a_year_from_1971_to_2199_is_refused(seconds: float) -> None:
    times, errors = read([seconds], format="epoch_s")
    assert times == [MISSING]
    assert errors[0].remedy


def test_equal_values_of_a_page_are_parsed_alike() -> None:
    later = (NOON + timedelta(hours=2)).isoformat()
    times, _ = read([later, NOON, later])
    assert times[0] == times[2] == NOON_US + 7_200_000_000
