"""Rejected pushes and the reasons that a response lists."""

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from functions.ingest.rejection import (
    PushRejected,
    UnclaimedReasons,
    main_reason,
    reason_records,
)
from storage.model.reject_log import RejectLog

WITHIN_S = 30.0
ROUNDS = 2000


def test_a_response_lists_reasons_with_counts_and_examples_as_they_were_sent() -> None:
    log = RejectLog()
    log.add("no server", {"load": 1})
    log.add("not a number", "n/a", 3)
    assert reason_records(log) == [
        {"reason": "not a number", "count": 3, "example": "n/a"},
        {"reason": "no server", "count": 1, "example": {"load": 1}},
    ]
    assert main_reason(log) == "not a number (such as 'n/a')"


def test_a_rejected_push_has_a_status_a_message_and_a_remedy() -> None:
    error = PushRejected(413, "too large", "send it in parts")
    assert (error.status, error.message, error.remedy) == (413, "too large", "send it in parts")


def test_reasons_are_returned_once() -> None:
    unclaimed, log = UnclaimedReasons(), RejectLog()
    log.add("no server", "x", 2)
    assert not unclaimed
    unclaimed.add(log)
    unclaimed.add(log)
    assert unclaimed
    assert unclaimed.take().count == 4
    assert not unclaimed.take()


def test_reasons_that_several_threads_bring_are_each_taken_once() -> None:
    unclaimed, taken, stop = UnclaimedReasons(), [], threading.Event()
    one = RejectLog()
    for number in range(50):
        one.add(f"reason {number}", number)

    def take() -> None:
        while not stop.is_set():
            taken.append(unclaimed.take().count)

    def bring() -> None:
        for _ in range(ROUNDS):
            unclaimed.add(one)

    with switching_often(), ThreadPoolExecutor(4) as pool:
        taking = pool.submit(take)
        for each in [pool.submit(bring) for _ in range(3)]:
            each.result()
        stop.set()
        taking.result(WITHIN_S)
    assert sum(taken) + unclaimed.take().count == 3 * ROUNDS * 50


@contextmanager
def switching_often() -> Iterator[None]:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)
