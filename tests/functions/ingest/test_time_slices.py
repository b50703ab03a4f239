"""Time slices: all samples are in one of them, and none makes a large table."""

from functions.ingest.partial_samples import Column, Part
from functions.ingest.time_slices import time_slices

DENSE: dict[Part, Column] = {
    ("a", ""): ([3, 1, 2], [0.3, 0.1, 0.2]), ("b", ""): ([1, 2, 3], [1.0, 2.0, 3.0]),
}  # fmt: skip


def test_what_fits_one_table_is_one_slice_as_it_came() -> None:
    assert list(time_slices(DENSE, 6)) == [DENSE]


def test_slices_are_in_the_order_of_time_and_a_time_is_in_one_of_them() -> None:
    first, second = time_slices(DENSE, 4)
    assert first == {("a", ""): ([1, 2], [0.1, 0.2]), ("b", ""): ([1, 2], [1.0, 2.0])}
    assert second == {("a", ""): ([3], [0.3]), ("b", ""): ([3], [3.0])}


def test_a_slice_has_only_the_parts_of_its_times() -> None:
    sparse: dict[Part, Column] = {("x", str(n)): ([n], [float(n)]) for n in range(100)}
    slices = list(time_slices(sparse, 100))
    assert [len(each) for each in slices] == [10] * 10
    assert {part: column for each in slices for part, column in each.items()} == sparse


def test_of_one_time_the_order_of_arrival_stays() -> None:
    [part] = time_slices({("a", ""): ([1, 1], [1.0, 2.0])}, 1)
    assert part["a", ""] == ([1, 1], [1.0, 2.0])
