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
    TimeOutside,
    TimeSkipped,
    UnitMissing,
    ZoneMissing,
    micros,
)
from storage.model.time_limits import STOCK_LIMITS

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


# 2026-10-25 01:00 to 02:55 in Berlin, and the hour from 02:00 a second time.
AUTUMN = [f"2026-10-25 0{h}:{m:02}:00" for h in (1, 2, 2) for m in range(0, 60, 5)]
# 2026-03-29 02:00 to 03:00: the clock goes from 02:00 to 03:00.
SPRING = [f"2026-03-29 02:{m:02}:00" for m in range(0, 60, 5)] + ["2026-03-29 03:00:00"]
PATTERN = "%Y-%m-%d %H:%M:%S"
FORMS: dict[str, tuple[Any, dict[str, str]]] = {
    "text of a CSV file": (pa.array, {}),
    "text of documents": (list, {}),
    "text of documents, some without": (lambda texts: [*texts, None], {}),
    "a pattern": (pa.array, {"format": PATTERN}),
    "dates of Python": (lambda texts: [datetime.strptime(t, PATTERN) for t in texts], {}),  # noqa: DTZ007
    "naive times of Parquet": (lambda texts: pa.array(texts).cast(pa.timestamp("us")), {}),
}


@pytest.mark.parametrize("form", FORMS)
def test_local_times_are_read_alike_in_every_form(form: str) -> None:
    build, time = FORMS[form]
    times, errors = read(build(AUTUMN), zone="Europe/Berlin", **time)
    first = int(datetime(2026, 10, 24, 23, tzinfo=UTC).timestamp())
    assert times[:36] == [(first + 300 * i) * 1_000_000 for i in range(36)]
    assert errors == []
    times, errors = read(build(SPRING), zone="Europe/Berlin", **time)
    assert [type(each) for each in errors] == [TimeSkipped] * 12
    assert times[12] == int(datetime(2026, 3, 29, 1, tzinfo=UTC).timestamp()) * 1_000_000
    assert "does not exist in Europe/Berlin" in errors[0].message


@pytest.mark.parametrize(
    ("value", "time", "says"),
    [
        (NOON_S, {"format": "epoch_ms"}, "is older than 10 years: write format = 'epoch_s'"),
        (NOON_S * 1000, {"format": "epoch_s"}, "in the future: write format = 'epoch_ms'"),
        (str(NOON_S), {"format": "epoch_ns"}, "is older than 10 years: write format = 'epoch_s'"),
        ("0001-01-01T00:00:00Z", {}, "is older than 10 years: send the time of the sample"),
        (datetime(1970, 1, 21, tzinfo=UTC), {}, "a time 1,000 times as far from 1970"),
        ("2026-05-06T12:06:00Z", {}, "lies more than 5 minutes in the future: check the sender's"),
        ("2011-05-06T12:06:00Z", {}, "older than 10 years: check the sender's clock; for true"),
    ],
)  # fmt: skip
def test_a_time_that_cannot_be_true_is_refused_with_the_remedy(
    value: Any, time: dict[str, str], says: str
) -> None:
    errors: list[InvalidTimestamp] = []
    for column in ([value], [value, None, "x"], pa.array([value])):
        times = micros(
            column, Time(field="ts", **time), lambda _i, _v, e: errors.append(e),
            STOCK_LIMITS.at(NOON),
        )  # fmt: skip
        assert times[0] == MISSING
    outside = [error for error in errors if isinstance(error, TimeOutside)]
    assert len(outside) == 3
    assert all(says in str(error) for error in outside)


def test_a_refused_number_is_shown_with_what_it_means_in_each_unit() -> None:
    for column, time in (([NOON_S], "epoch_ms"), (["1778068800"], "iso")):
        _, [error] = read(column, format=time)
        assert error.shown(NOON_S) == (
            "1778068800 (2026-05-06 12:00:00 in s, 1970-01-21 13:54:28 in ms, "
            "1970-01-01 00:29:38 in us, 1970-01-01 00:00:01 in ns)"
        )


@pytest.mark.parametrize("text", ["1710123112345", "20260506", "1778068800.5"])
def test_text_of_digits_is_a_number_and_no_date(text: str) -> None:
    times, [error] = read(pa.array([text, "2026-05-06T12:00:00Z"]), zone="UTC")
    assert times == [MISSING, NOON_US]
    assert isinstance(error, UnitMissing)


def test_a_time_of_a_year_that_python_has_not_costs_that_value_alone() -> None:
    column = pa.array([NOON_US, 2**62], pa.timestamp("us", "UTC"))
    times, [error] = read(column)
    assert times == [NOON_US, MISSING]
    assert error.remedy
