"""Supervised threads: what ends one is logged, and it comes back."""

import logging
import threading
from collections.abc import Callable, Iterator

import pytest

from storage.errors import HoursightError
from storage.platform.threads import SupervisedThread

WITHIN_S = 30.0


@pytest.fixture
def stop() -> Iterator[threading.Event]:
    stop = threading.Event()
    yield stop
    stop.set()


def fails_at_first(
    error: Exception, stop: threading.Event
) -> tuple[Callable[[], None], threading.Event]:
    """Work that raises `error` at its first call, and an event for its second."""
    calls: list[None] = []
    again = threading.Event()

    def work() -> None:
        calls.append(None)
        if len(calls) == 1:
            raise error
        again.set()
        stop.wait()

    return work, again


def test_work_that_raises_is_logged_with_its_traceback_and_called_again(
    stop: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    work, again = fails_at_first(ZeroDivisionError("inside"), stop)
    SupervisedThread("journal", work, stop).start()
    assert again.wait(WITHIN_S)
    assert "journal failed" in caplog.text
    assert "Traceback" in caplog.text
    assert "ZeroDivisionError: inside" in caplog.text


def test_a_retryable_error_is_logged_in_one_sentence(
    stop: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    away = HoursightError("the catalog is away", "start its server", retryable=True)
    work, again = fails_at_first(away, stop)
    SupervisedThread("fleet", work, stop).start()
    assert again.wait(WITHIN_S)
    assert "fleet failed: the catalog is away: start its server" in caplog.text
    assert "Traceback" not in caplog.text


def test_work_that_returns_early_is_logged_and_called_again(
    stop: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[None] = []
    twice = threading.Event()

    def work() -> None:
        calls.append(None)
        if len(calls) == 2:
            twice.set()

    SupervisedThread("news", work, stop).start()
    assert twice.wait(WITHIN_S)
    assert "news ended without being stopped" in caplog.text


def test_the_pause_grows_with_each_failure(
    stop: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[None] = []

    def work() -> None:
        calls.append(None)
        if len(calls) == 3:
            stop.set()
        raise OSError("full")

    with caplog.at_level(logging.INFO):
        SupervisedThread("busy", work, stop).start().join(WITHIN_S)
    pauses = [r.getMessage() for r in caplog.records if "starts again" in r.getMessage()]
    assert pauses == ["busy starts again in 0.5 s", "busy starts again in 1 s"]


def test_work_that_is_done_once_ends_when_it_returns(stop: threading.Event) -> None:
    calls: list[None] = []
    thread = SupervisedThread("output", lambda: calls.append(None), stop, once=True).start()
    thread.join(WITHIN_S)
    assert not thread.alive
    assert len(calls) == 1


def test_a_thread_that_waits_for_its_next_start_ends_at_once_when_it_is_stopped(
    stop: threading.Event,
) -> None:
    failed = threading.Event()

    def work() -> None:
        failed.set()
        raise OSError("full")

    thread = SupervisedThread("busy", work, stop).start()
    assert failed.wait(WITHIN_S)
    stop.set()
    thread.join(WITHIN_S)
    assert not thread.alive


def test_start_and_end_are_logged_at_debug(
    stop: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "storage.platform.threads"):
        thread = SupervisedThread("feed", stop.wait, stop).start()
        stop.set()
        thread.join(WITHIN_S)
    assert [r.getMessage() for r in caplog.records] == ["feed started", "feed ended"]
