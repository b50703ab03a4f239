"""The next 8 hours: bars of expected breaches, the quiet time, and the sentence."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.display.shift import MAX_BARS, MINUTES, shift

NOW = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)


def row(earliest: int, likely: int | None, latest: int | None, **fields: Any) -> dict[str, Any]:
    def at(minutes: int | None) -> datetime | None:
        return None if minutes is None else NOW + timedelta(minutes=minutes)

    return {
        "server": "a", "breach_metric": "mem_used_pct", "breach_earliest": at(earliest),
        "breach_likely": at(likely), "breach_latest": at(latest), "p_breach_480m": 0.5,
        "health": "warning", "expected": 1,
    } | fields  # fmt: skip


def test_a_bar_lies_between_the_earliest_and_the_latest_time() -> None:
    (bar,) = shift([row(50, 130, 260)], NOW).bars
    assert (bar.first, bar.likely, bar.last) == (50, 130, 260)
    assert bar.text == "earliest 02:50 UTC, likely 04:10 UTC, latest 06:20 UTC"
    assert bar.metric == "Memory used"


def test_an_open_end_is_the_end_of_the_strip_and_a_past_start_is_now() -> None:
    (bar,) = shift([row(-10, None, None)], NOW).bars
    assert (bar.first, bar.likely, bar.last) == (0, None, MINUTES)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([], "No breach is expected in the next 8 hours"),
        ([row(240, 300, 480)], "1 breach is expected in the next 8 hours; quiet until 06:00 UTC"),
        ([row(0, 60, 120)], "1 breach is expected in the next 8 hours; quiet from 04:00 UTC"),
        (
            [row(0, 9, 60, expected=2), row(400, 410, 480)],
            "2 breaches are expected in the next 8 hours; quiet from 03:00 UTC to 08:40 UTC",
        ),
        ([row(0, 60, 480)], "1 breach is expected in the next 8 hours"),
    ],
)
def test_the_sentence_names_the_longest_quiet_time(
    rows: list[dict[str, Any]], sentence: str
) -> None:
    assert shift(rows, NOW).sentence == sentence


def test_without_forecasts_nothing_is_promised() -> None:
    assert shift([], NOW, known=False).sentence.startswith("Not known")


@given(st.lists(st.tuples(st.integers(0, 480), st.integers(0, 480)).map(sorted), max_size=20))
def test_quiet_time_and_breaches_never_overlap(spans: list[list[int]]) -> None:
    strip = shift([row(first, None, last) for first, last in spans], NOW)
    for first, last in strip.quiet:
        assert last - first >= 30
        assert all(end <= first or begin >= last for begin, end in spans)
    assert len(strip.bars) == min(len(spans), MAX_BARS)
