"""The life of an episode: its line, and its messages in words."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from web.display.episode_life import delivery_text, life_line

OPENED = datetime(2026, 5, 6, 1, 12, tzinfo=UTC)


def after(minutes: float) -> datetime:
    return OPENED + timedelta(minutes=minutes)


def event(name: str, phase: str, minutes: float, made_by: str | None = None) -> dict[str, Any]:
    return {"event": name, "phase": phase, "ts": after(minutes), "made_by": made_by}


def test_the_line_has_turns_answers_and_the_first_message_in_their_order() -> None:
    events = [
        event("opened", "predicted", 0), event("changed", "predicted", 4),
        event("acting", "predicted", 8, "alice"), event("closed", "averted", 53),
    ]  # fmt: skip
    line = life_line(events, [{"sent_at": after(3)}, {"sent_at": after(1)}, {"sent_at": None}])
    assert [f"{s.text} {s.at:%H:%M}" for s in line] == [
        "predicted 01:12", "sent 01:13", "acting (alice) 01:20", "averted 02:05",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("newest", "expected"),
    [
        ({"outcome": "sent", "status": 202}, "Sent at 01:14:00 UTC (202)"),
        ({"outcome": "queued"}, "Waiting since 20 min ago"),
        ({"outcome": "failed", "attempt": 3, "status": 503, "detail": "busy <b>",
          "next_at": after(25)}, "Failed, attempt 3 (503): busy <b>; again at 01:37:00 UTC"),
        ({"outcome": "refused", "status": 400, "detail": "unknown key"},
         "Refused by the receiver (400): unknown key; it is not tried again"),
        ({"outcome": "dropped", "detail": "it ended before"}, "Dropped: it ended before"),
    ],
)  # fmt: skip
def test_the_state_of_a_message_is_said_in_words(newest: dict[str, Any], expected: str) -> None:
    empty = dict.fromkeys(("status", "attempt", "next_at", "detail"))
    row = {"sent_at": after(2), "queued_at": after(0), "newest": empty | newest}
    assert delivery_text(row, after(20)) == expected
