"""The memory budget: shares in the order of arrival, and what there is no memory for."""

import gzip
import threading

import pytest

from functions.ingest.memory_budget import MAX_BUILT_BYTES, IngestMemory, MemoryBudget
from functions.ingest.rejection import PushRejected
from storage.ipc.push_protocol import Push


def test_a_share_is_given_back_at_the_end_and_before() -> None:
    budget = MemoryBudget(100)
    with budget.share(80) as share:
        assert budget.free == 20
        share.shrink(10)
        assert budget.free == 90
    assert budget.free == 100


def test_a_request_that_is_larger_than_the_budget_is_413() -> None:
    with (
        pytest.raises(PushRejected, match="needs 2 MiB of memory or more, and there") as refused,
        MemoryBudget(1 << 20).share(2 << 20),
    ):
        raise AssertionError
    assert refused.value.status == 413


def test_a_request_that_gets_no_share_in_time_is_503_and_those_behind_it_go_on() -> None:
    budget = MemoryBudget(100, wait_s=0.01)
    with budget.share(60):
        with (
            pytest.raises(PushRejected, match="too many large pushes") as refused,
            budget.share(50),
        ):
            raise AssertionError
        with budget.share(40):
            assert budget.free == 0
    assert refused.value.status == 503


def test_a_large_request_is_not_passed_by_smaller_ones_behind_it() -> None:
    budget, order = MemoryBudget(100, wait_s=30), list[int]()

    def request(size: int) -> None:
        with budget.share(size):
            order.append(size)

    with budget.share(60):
        threads = []
        for waiting, size in enumerate((90, 30), 1):
            threads.append(threading.Thread(target=request, args=(size,)))
            threads[-1].start()
            while budget.waiting < waiting:
                threading.Event().wait(0.001)
        assert order == []
    for thread in threads:
        thread.join(30)
    assert order == [90, 30]


def test_any_number_of_large_pushes_at_once_has_no_more_than_the_budget() -> None:
    memory, most, lock = IngestMemory(wait_s=60), [0, 0], threading.Lock()
    push = Push("lines", gzip.compress(b"x" * 1_000_000), "gzip")
    size = MAX_BUILT_BYTES // 3

    def request() -> None:
        with memory.reading(push, lambda _: size) as body:
            with lock:
                most[0] += size
                most[1] = max(most)
            assert len(body) == 1_000_000
            with lock:
                most[0] -= size

    threads = [threading.Thread(target=request) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert 0 < most[1] <= MAX_BUILT_BYTES
    assert most[0] == 0


def test_a_body_of_too_much_is_not_unpacked_to_its_end() -> None:
    parts = list[int]()

    def built(part: bytes) -> int:
        parts.append(len(part))
        return MAX_BUILT_BYTES // 2

    push = Push("lines", gzip.compress(b"x" * 20_000_000), "gzip")
    with (
        pytest.raises(PushRejected, match="MiB of memory or more"),
        IngestMemory().reading(push, built),
    ):
        raise AssertionError
    assert sum(parts) < 4_000_000
