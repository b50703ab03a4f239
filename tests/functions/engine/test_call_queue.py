"""The queue of calls: its limit, the wait for a turn, and the refusal."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from functions.engine.call_queue import CallQueue, TooManyCalls


def test_twelve_calls_run_no_more_than_four_at_a_time_and_all_of_them_run() -> None:
    queue, lock, running, most = CallQueue(max_wait_s=60), threading.Lock(), 0, 0
    full = threading.Barrier(4)

    def call(_: int) -> None:
        nonlocal running, most
        with queue.turn():
            with lock:
                running += 1
                most = max(most, running)
            full.wait(30)
            with lock:
                running -= 1

    with ThreadPoolExecutor(12) as callers:
        assert len(list(callers.map(call, range(12)))) == 12
    assert (most, queue.waiting) == (4, 0)


@pytest.mark.parametrize(
    ("max_waiting", "why"), [(0, "and 0 wait"), (1, "and none ended within 0.01 s")]
)
def test_a_call_without_a_turn_is_refused_with_the_reason(max_waiting: int, why: str) -> None:
    queue = CallQueue(1, max_waiting, 0.01)
    with queue.turn(), pytest.raises(TooManyCalls, match=why), queue.turn():
        pass
    with queue.turn():
        assert queue.waiting == 0
