"""Work on a fleet that fails for some servers."""

from collections.abc import Callable

import pytest

from functions.engine.fleet_isolation import divide_on_failure


def fail_on(*bad: int) -> Callable[[slice], list[int]]:
    def work(part: slice) -> list[int]:
        if set(bad) & set(range(part.start, part.stop)):
            raise ValueError(f"no {bad}")
        return list(range(part.start, part.stop))

    return work


def test_work_is_divided_down_to_those_that_fail() -> None:
    calls: list[int] = []

    def work(part: slice) -> list[int]:
        calls.append(part.stop - part.start)
        if {3, 500} & set(range(part.start, part.stop)):
            raise ValueError(part)
        return list(range(part.start, part.stop))

    divided = divide_on_failure([f"s{i}" for i in range(512)], work)
    done = [i for _, indices in divided.results for i in indices]
    assert done == [i for i in range(512) if i not in (3, 500)]
    assert sorted(divided.failures) == [3, 500]
    assert len(calls) < 40
    assert divide_on_failure([], lambda part: [part]).failures == {}


def test_work_that_succeeds_is_called_once_for_all() -> None:
    divided = divide_on_failure(["a", "b", "c"], fail_on())
    assert divided.results == [(slice(0, 3), [0, 1, 2])]
    assert divided.failures == {}


def test_a_single_server_that_fails_is_a_failure_of_that_server() -> None:
    divided = divide_on_failure(["a"], fail_on(0))
    assert (divided.results, list(divided.failures)) == ([], [0])


def test_when_all_servers_fail_the_first_error_is_raised() -> None:
    with pytest.raises(ValueError, match="no "):
        divide_on_failure(["a", "b"], fail_on(0, 1))


def test_each_server_that_is_left_out_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    divide_on_failure(["a", "b"], fail_on(1))
    assert "b is left out: ValueError: no (1,)" in caplog.text
