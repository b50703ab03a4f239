"""Samples cut at the holes in their times."""

from datetime import timedelta

import pyarrow as pa

from functions.engine.gaps import MAX_GAPS, split_at_gaps
from storage.model.schema import TIMESTAMP
from tests.conftest import NOW


def samples(*seconds: float) -> pa.Table:
    times = [NOW + timedelta(seconds=each) for each in seconds]
    return pa.table({"ts": pa.array(times, TIMESTAMP)})


def lengths(table: pa.Table) -> list[int]:
    return [piece.num_rows for piece in split_at_gaps(table)]


def test_samples_are_cut_at_a_hole_in_whatever_order_they_come() -> None:
    before, after = split_at_gaps(samples(3605, 0, 5, 3600, 5))
    assert sorted(before["ts"].to_pylist()) == samples(0, 5, 5)["ts"].to_pylist()
    assert after["ts"].to_pylist() == samples(3605, 3600)["ts"].to_pylist()


def test_without_a_hole_they_stay_together() -> None:
    assert lengths(samples(0, 5, 300, 305)) == [4]
    assert lengths(samples()) == [0]


def test_a_slow_beat_is_no_hole_and_many_holes_are_not_as_many_pieces() -> None:
    assert lengths(samples(*range(0, 86_400, 900))) == [96]
    seconds = [hour * 3600 + beat for hour in range(20) for beat in range(0, 60, 5)]
    assert len(lengths(samples(*seconds))) == MAX_GAPS + 1
