"""The deadline of a transfer that has to make progress."""

import pytest

from web.pace import Pace


def pace(now: float = 100.0) -> Pace:
    return Pace(now, window_s=10, window_bytes=1000, whole_s=60)


@pytest.mark.parametrize(
    ("size", "every_s", "deadline"),
    [(1, 1, 110.0), (999, 9, 128.0), (1000, 9, 137.0), (1_000_000, 19, 160.0)],
)
def test_each_full_window_of_bytes_moves_the_deadline_but_not_beyond_the_whole(
    size: int, every_s: float, deadline: float
) -> None:
    transfer = pace()
    for step in (1, 2, 3):
        transfer.add(size, 100.0 + step * every_s)
    assert transfer.deadline == deadline


def test_a_transfer_that_drips_is_as_slow_as_one_that_stalls() -> None:
    dripping, flowing = pace(), pace()
    for second in range(1, 9):
        dripping.add(1, 100.0 + second)
        flowing.add(2000, 100.0 + second)
    assert (dripping.window_began, flowing.window_began) == (100.0, 108.0)


def test_a_transfer_without_any_byte_ends_after_its_first_window() -> None:
    assert (pace().deadline, pace().window_began) == (110.0, 100.0)


def test_a_megabyte_at_20_kilobytes_a_second_never_meets_the_deadline_of_a_body() -> None:
    transfer = Pace(0, 10, 10_000, 300)
    for second in range(1, 51):
        assert transfer.deadline > second
        transfer.add(20_000, second)
