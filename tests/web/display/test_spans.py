"""Spans of time of the charts."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.model.grid import STEP
from web.display.spans import MAX_STEPS, SPANS, span_of, usual_span
from web.http_errors import HttpRejection

NOW = datetime(2026, 3, 1, 2, 13, tzinfo=UTC)


def test_the_usual_span_is_the_context_and_the_horizon_of_the_model() -> None:
    span = span_of(NOW, "", "", "")
    assert span == usual_span(NOW)
    assert (span.start, span.steps) == (datetime(2026, 2, 28, 2, 10, tzinfo=UTC), 288 + 1 + 96)


@pytest.mark.parametrize(
    ("last", "minutes", "forecast"),
    [
        ("6h", 5, True),
        ("24h", 5, True),
        ("7d", 20, True),
        ("30d", 120, False),
        ("400d", 1440, False),
    ],
)
def test_a_longer_span_has_wider_steps(last: str, minutes: int, forecast: bool) -> None:
    span = span_of(NOW, last, "", "")
    assert span.step == timedelta(minutes=minutes)
    assert span.shows_forecast is forecast
    assert last in SPANS


@given(st.integers(60, 29_000_000), st.integers(30, 10**7))
def test_a_span_has_few_steps_and_begins_on_their_grid(age: int, minutes: int) -> None:
    start = NOW - timedelta(minutes=age)
    stop = start + timedelta(minutes=minutes)
    span = span_of(NOW, "", start.isoformat(), stop.isoformat())
    assert span.steps <= MAX_STEPS + 2
    assert span.start.timestamp() % span.step.total_seconds() == 0
    assert span.step >= STEP


def test_times_are_iso_or_epoch_seconds_and_end_with_the_forecast() -> None:
    epoch = str(int((NOW - timedelta(days=1)).timestamp()))
    assert span_of(NOW, "", epoch, "") == span_of(NOW, "", "2026-02-28T02:13:00", "")
    assert span_of(NOW, "", epoch, "2030-01-01").stop == NOW + timedelta(hours=8)


@pytest.mark.parametrize(
    ("last", "since", "until", "message"),
    [
        ("5 apples", "", "", "last: '5 apples' is not a valid period"),
        ("6h", "2026-01-01", "", "last and from are given"),
        ("", "", "2026-01-01", "to is given without from"),
        ("", "yesterday", "", "from='yesterday' is not a valid time"),
        ("", "2026-01-01", "x" * 99, "to='xxxx"),
        ("", "2026-02-01", "2026-01-01", "from='2026-02-01' is later than to"),
        ("", "9" * 30, "", "is not a valid time"),
        ("", "0001-01-01", "", "is too far away"),
    ],
)  # fmt: skip
def test_a_span_that_is_none_is_refused_in_words(
    last: str, since: str, until: str, message: str
) -> None:
    with pytest.raises(HttpRejection, match=f".*{message}".replace("(", r"\(")) as refused:
        span_of(NOW, last, since, until)
    assert (refused.value.status_code, bool(refused.value.remedy)) == (400, True)
