"""Small pictures of the page of trust: reliability of odds, accuracy by day, and drift."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

__all__ = ["SIZE", "Dot", "Line", "reliability_dots", "series_line"]

SIZE = 160  # pixels of the square of odds; 0 to 100 % on both axes
WIDTH, HEIGHT = 600, 120  # of a line over time
LEAST_RADIUS, MOST_RADIUS = 2.0, 6.0


@dataclass(frozen=True, slots=True)
class Dot:
    """A bin of odds: where what was said and what came meet, its interval, and its weight."""

    x: float
    y: float
    low: float
    high: float
    radius: float
    title: str


def reliability_dots(row: Mapping[str, Any]) -> list[Dot]:
    """Return the bins of a row of `web/sql/trust_reliability.sql`, SIZE pixels for 100 %."""
    columns = [row[name] or () for name in ("said", "came", "came_low", "came_high", "bin_blocks")]
    most = max(columns[-1], default=1) or 1
    return [
        Dot(
            SIZE * said, SIZE * (1 - came), SIZE * (1 - low), SIZE * (1 - high),
            LEAST_RADIUS + (MOST_RADIUS - LEAST_RADIUS) * float(np.sqrt(cases / most)),
            f"said {100 * said:.0f} %, came {100 * came:.0f} % "
            f"({100 * low:.0f}–{100 * high:.0f}), {cases:.0f} cases",
        )
        for said, came, low, high, cases in zip(*columns, strict=False)
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    """A line of WIDTH by HEIGHT pixels over time, and where its limit and its ends are."""

    path: str
    limit: float
    low: float
    high: float
    first: datetime
    last: datetime

    width = WIDTH
    height = HEIGHT


def series_line(
    points: Iterable[tuple[datetime, float | None]], limit: float, around: float
) -> Line | None:
    """Return the line through points; None with fewer than two.

    The range holds all points and the limit, and `around` it at least.
    """
    known = [(at, value) for at, value in points if value is not None]
    if len(known) < 2:
        return None
    values = [value for _, value in known]
    low, high = min(*values, limit - around), max(*values, limit + around)
    first, last = known[0][0], known[-1][0]
    span = (last - first).total_seconds() or 1.0

    def y_of(value: float) -> float:
        return HEIGHT * (1 - (value - low) / (high - low))

    def x_of(at: datetime) -> float:
        return WIDTH * (at - first).total_seconds() / span

    return Line(_path([(x_of(a), y_of(v)) for a, v in known]), y_of(limit), low, high, first, last)


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
