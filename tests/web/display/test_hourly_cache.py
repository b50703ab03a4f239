"""Results that are computed once a key."""

import threading

from web.display.hourly_cache import HourlyCache


def test_a_result_is_computed_once_and_the_oldest_is_forgotten() -> None:
    made: list[int] = []
    cache: HourlyCache[int] = HourlyCache(kept=2)

    def result(key: int) -> int:
        return cache.get(key, lambda: made.append(key) or key)  # type: ignore[func-returns-value]

    assert [result(key) for key in (1, 2, 1, 3, 1, 2)] == [1, 2, 1, 3, 1, 2]
    assert made == [1, 2, 3, 2]


def test_two_that_want_it_at_once_share_one_computation() -> None:
    cache: HourlyCache[int] = HourlyCache()
    begun, go, made = threading.Event(), threading.Event(), []

    def make() -> int:
        begun.set()
        go.wait(10)
        made.append(1)
        return len(made)

    results: list[int] = []
    threads = [
        threading.Thread(target=lambda: results.append(cache.get("k", make))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    begun.wait(10)
    go.set()
    for thread in threads:
        thread.join()
    assert results == [1, 1]
