"""The time that the charts of a server show, and how wide its steps are."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from storage.model.grid import CONTEXT_STEPS, HORIZON_STEPS, STEP, floor_step
from storage.model.periods import parse_period
from web.http_errors import HttpRejection

__all__ = ["SPANS", "Span", "span_of", "usual_span"]

# What the page links to.
SPANS = ("6h", "24h", "7d", "30d", "400d")
MAX_STEPS = 600  # a chart is about as many pixels wide
HORIZON = HORIZON_STEPS * STEP
LEAST = 6 * STEP
LONGEST = timedelta(days=3650)
# A forecast of 8 hours would be one or two points.
WIDEST_WITH_FORECAST = timedelta(hours=1)
_STEPS = tuple(
    timedelta(minutes=m)
    for m in (5, 10, 15, 20, 30, 60, 120, 180, 240, 360, 480, 720, 1440, 2880, 5760, 10080)
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Span:
    """From `start` to `stop` in steps of `step`; `start` is on the grid of these steps.

    `last` is the period before now that was chosen, empty for one between two fixed times.
    """

    start: datetime
    stop: datetime
    step: timedelta = STEP
    last: str = ""

    @property
    def steps(self) -> int:
        """The number of steps, at least 1."""
        return max(1, -(-(self.stop - self.start) // self.step))

    @property
    def is_wide(self) -> bool:
        """Whether a step holds several 5-minute means."""
        return self.step > STEP

    @property
    def shows_forecast(self) -> bool:
        """Whether a forecast has enough points to be drawn."""
        return self.step <= WIDEST_WITH_FORECAST

    def position(self, ts: datetime) -> float:
        """Return the place of a time, in steps after the start."""
        return (ts - self.start) / self.step


def usual_span(now: datetime) -> Span:
    """Return the 24 h before `now`, the step that is not complete, and the 8 h of a forecast."""
    start = floor_step(now) - CONTEXT_STEPS * STEP
    return Span(start, start + (CONTEXT_STEPS + 1 + HORIZON_STEPS) * STEP)


def span_of(now: datetime, last: str, since: str, until: str) -> Span:
    """Return the span that a page is asked for; without any of the three it is the usual one.

    `last` is a period before `now`, `since` and `until` are times as ISO 8601 or epoch seconds.
    Raises HttpRejection for values that are none.
    """
    if not (last or since or until):
        return usual_span(now)
    if last and (since or until):
        raise _rejected("last and from are given", "give one of them")
    if last:
        return _span(now - _period(last), now + HORIZON, last)
    if not since:
        raise _rejected("to is given without from", "give both, or last=24h")
    start = _time("from", since)
    stop = min(_time("to", until) if until else now + HORIZON, now + HORIZON)
    if stop - start < LEAST:
        raise _rejected(
            f"from={since[:40]!r} is later than to or less than 30 minutes before it",
            "choose a longer time, at most up to 8 h from now",
        )
    return _span(max(start, now - LONGEST), stop, "")


def _span(start: datetime, stop: datetime, last: str) -> Span:
    step = next((s for s in _STEPS if (stop - start) / s <= MAX_STEPS), _STEPS[-1])
    return Span(_EPOCH + (start - _EPOCH) // step * step, stop, step, last)


def _period(last: str) -> timedelta:
    try:
        period = parse_period(last)
    except (ValueError, OverflowError) as error:
        shown = str(error) if isinstance(error, ValueError) else f"{last[:40]!r} is too long"
        raise _rejected(f"last: {shown}", f"choose one of {', '.join(SPANS)}") from error
    return min(max(period, LEAST), LONGEST)


def _time(name: str, text: str) -> datetime:
    """Return a time with a zone; one without is UTC."""
    try:
        ts = (
            datetime.fromtimestamp(int(text), UTC)
            if text.isdecimal()
            else datetime.fromisoformat(text)
        )
    except (ValueError, OverflowError, OSError) as error:
        raise _rejected(
            f"{name}={text[:40]!r} is not a valid time",
            "write it as 2026-05-06T12:00Z or as seconds since 1970",
        ) from error
    ts = ts if ts.tzinfo else ts.replace(tzinfo=UTC)
    if not 1970 < ts.year < 9999:
        raise _rejected(f"{name}={text[:40]!r} is too far away", "choose a time after 1970")
    return ts.astimezone(UTC)


def _rejected(message: str, remedy: str) -> HttpRejection:
    return HttpRejection(400, message, remedy)
