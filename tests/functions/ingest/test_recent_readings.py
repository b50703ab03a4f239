from itertools import pairwise

import numpy as np

from functions.ingest.partial_samples import Column, Part
from functions.ingest.recent_readings import RecentReadings

CPU, LINK, LOAD = ("cpu_s", "0 idle"), ("net_in_bytes", "eth0"), ("load_average", "")
SECOND = 1_000_000
MANY = 1_000_000


def came(part: Part, *seconds: float) -> dict[Part, Column]:
    return {part: ([int(s * SECOND) for s in seconds], [float(s) for s in seconds])}


def put(recent: RecentReadings, readings: dict[Part, Column], most: int = MANY) -> list[float]:
    """Join and keep readings; the seconds over which they were joined."""
    joined = recent.join(readings)
    recent.keep(joined, np.zeros(joined.written.shape, bool), most)
    return (joined.times / SECOND).tolist()  # type: ignore[no-any-return]


def test_readings_begin_with_the_one_before_of_each_kind_of_counter() -> None:
    recent = RecentReadings(1)
    put(recent, came(CPU, 0, 5))
    put(recent, came(LINK, 6, 7))
    assert put(recent, came(CPU, 10)) == [5, 6, 7, 10]
    assert put(recent, came(LOAD, 11)) == [11]


def test_a_late_reading_joins_those_of_its_time_and_all_after_it() -> None:
    recent = RecentReadings(1)
    put(recent, came(CPU, 0, 5, 10))
    joined = recent.join(came(LINK, 5))
    assert (joined.times / SECOND).tolist() == [5, 10]
    assert joined.kinds()["cpu_s"]["0 idle"].tolist() == [5, 10]
    assert joined.came.any(axis=1).tolist() == [True, False]


def test_readings_are_kept_for_five_minutes_and_the_last_ones_at_any_age() -> None:
    recent = RecentReadings(1)
    for seconds, _ in pairwise(range(0, 4000, 400)):
        put(recent, came(CPU, seconds))
    assert len(put(recent, came(LINK, 0))) == 9  # the eight last ones, and its own
    for seconds in range(4000, 5000, 5):
        put(recent, came(CPU, seconds))
    assert put(recent, came(LINK, 4690))[0] == 4690
    assert len(put(recent, came(LINK, 1))) == 61 + 1


def test_too_many_values_leave_four_rows() -> None:
    recent = RecentReadings(1)
    for seconds in range(100):
        put(recent, came(CPU, seconds), most=0)
    assert put(recent, came(LINK, 0)) == [0, 96, 97, 98, 99]


def test_parts_that_are_not_sent_any_more_are_forgotten() -> None:
    recent = RecentReadings(1)
    put(recent, came(("cpu_s", "old idle"), 0))
    put(recent, came(CPU, *range(1000, 1100, 5)))
    assert recent.join(came(CPU, 1100)).parts == [CPU]
