"""The next 8 hours of the fleet on one strip: expected breaches, and quiet time between them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from web.display import formatting
from web.display.metric_display import display_of

__all__ = ["EXPECTED_FROM", "MAX_BARS", "Shift", "ShiftBar", "shift"]

# A breach is expected from these odds within 8 hours on.
EXPECTED_FROM = 0.25
MAX_BARS = 10
MINUTES = 480
# A shorter gap between breaches is not quiet time.
QUIET_MINUTES = 30


@dataclass(frozen=True, slots=True)
class ShiftBar:
    """An expected breach; `first`, `likely` and `last` are minutes from now, 0 to 480."""

    server: str
    metric: str
    slug: str
    chance: float
    first: int
    likely: int | None
    last: int
    text: str


@dataclass(frozen=True, slots=True)
class Shift:
    """The expected breaches, worst first; `quiet` are pairs of minutes without any."""

    bars: tuple[ShiftBar, ...]
    expected: int
    quiet: tuple[tuple[int, int], ...]
    sentence: str


def shift(rows: Sequence[Mapping[str, Any]], now: datetime, known: bool = True) -> Shift:
    """Return the strip; `rows` are those of the query `memory_fleet_shift`.

    Without a server that reports and has a forecast, nothing is known.
    """
    if not known:
        return Shift((), 0, (), "Not known: no server reports and has a forecast")
    bars = [_bar(row, now) for row in rows]
    quiet = _quiet([(bar.first, bar.last) for bar in bars])
    expected = rows[0]["expected"] if rows else 0
    return Shift(tuple(bars[:MAX_BARS]), expected, quiet, _sentence(bars, expected, quiet, now))


def _bar(row: Mapping[str, Any], now: datetime) -> ShiftBar:
    earliest, likely, latest = (row[f"breach_{k}"] for k in ("earliest", "likely", "latest"))
    end = MINUTES if latest is None else _minutes(latest, now)
    label = display_of(row["breach_metric"]).label
    times = [("earliest", earliest), ("likely", likely), ("latest", latest)]
    text = ", ".join(f"{word} {formatting.clock_minutes(t, now)}" for word, t in times if t)
    return ShiftBar(
        row["server"], label, row["health"], row["p_breach_480m"], _minutes(earliest, now),
        None if likely is None else _minutes(likely, now), end, text,
    )  # fmt: skip


def _minutes(then: datetime, now: datetime) -> int:
    return min(MINUTES, max(0, round((then - now).total_seconds() / 60)))


def _quiet(spans: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """The gaps between the spans, of 30 minutes or more."""
    gaps, reached = [], 0
    for first, last in [*sorted(spans), (MINUTES, MINUTES)]:
        if first - reached >= QUIET_MINUTES:
            gaps.append((reached, first))
        reached = max(reached, last)
    return tuple(gaps)


def _sentence(
    bars: Sequence[ShiftBar], expected: int, quiet: Sequence[tuple[int, int]], now: datetime
) -> str:
    if not bars:
        return "No breach is expected in the next 8 hours"
    noun = "breach is" if expected == 1 else "breaches are"
    text = f"{expected:,} {noun} expected in the next 8 hours"
    if not quiet:
        return text
    first, last = max(quiet, key=lambda gap: gap[1] - gap[0])
    until = formatting.clock_minutes(now + timedelta(minutes=last), now)
    if first == 0:
        return f"{text}; quiet until {until}"
    return f"{text}; quiet from {formatting.clock_minutes(now + timedelta(minutes=first), now)}" + (
        "" if last == MINUTES else f" to {until}"
    )
