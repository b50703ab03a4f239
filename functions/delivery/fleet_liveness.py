"""Fleet liveness: whether nearly all servers have a fresh forecast and calibration holds."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from functions.engine.window import Window
from storage.model.grid import MIN_CONTEXT_STEPS

__all__ = ["FleetLiveness", "LivenessCounts", "count_fleet", "judge"]

FRESH: Final = timedelta(minutes=15)
KNOWN: Final = timedelta(days=1)
COVERAGE_OVER: Final = timedelta(days=3)
LEAST_SHARE: Final = 0.95
COVERAGE_80: Final = (0.70, 0.90)
# With fewer moving targets, or fewer hours of them, the share inside the band says nothing.
LEAST_TARGETS, LEAST_HOURS = 2000, 24

_FORECASTS = """
WITH known AS (
    SELECT server FROM metrics_5m WHERE ts > $known AND ts <= $now
    GROUP BY server HAVING count(*) >= $steps
),
fresh AS (
    SELECT DISTINCT server FROM forecasts
    WHERE issued_at > $fresh AND issued_at <= $now AND p50 IS NOT NULL AND state != 'abstained'
)
SELECT count(*) AS servers, count(fresh.server) AS fresh
FROM known LEFT JOIN fresh USING (server)
"""
_COVERAGE = """
SELECT coalesce(sum(inside_80), 0)::BIGINT AS inside, coalesce(sum(moving), 0)::BIGINT AS targets,
       count(DISTINCT ts) AS hours
FROM scores WHERE ts > $since AND ts <= $now
"""


@dataclass(frozen=True, slots=True)
class LivenessCounts:
    """Servers with a context, those of them with a fresh forecast, and scored targets."""

    servers: int
    fresh: int
    inside: int
    targets: int
    hours: int


@dataclass(frozen=True, slots=True)
class FleetLiveness:
    """Whether the heartbeat may be sent, and why or why not, in words."""

    holds: bool
    why: str


def count_fleet(window: Window) -> LivenessCounts:
    """Return the counts as of the window's time."""
    now = window.now
    forecasts = window.sql(
        _FORECASTS, known=now - KNOWN, fresh=now - FRESH, now=now, steps=MIN_CONTEXT_STEPS
    ).to_pylist()[0]
    coverage = window.sql(_COVERAGE, since=now - COVERAGE_OVER, now=now).to_pylist()[0]
    return LivenessCounts(**forecasts, **coverage)


def judge(counts: LivenessCounts) -> FleetLiveness:
    """Return whether the fleet is forecast and calibration holds; unknown coverage counts as so."""
    if not counts.servers:
        return FleetLiveness(False, "no server has the history that a forecast needs yet")
    text = f"{counts.fresh} of {counts.servers} servers have a fresh forecast"
    if counts.fresh < LEAST_SHARE * counts.servers:
        return FleetLiveness(False, f"only {text} (expected 95 %)")
    if counts.targets < LEAST_TARGETS or counts.hours < LEAST_HOURS:
        return FleetLiveness(True, f"{text}; too few scores yet to judge calibration")
    share = counts.inside / counts.targets
    holds = COVERAGE_80[0] <= share <= COVERAGE_80[1]
    said = f"the 80 % band held {100 * share:.0f} % in 3 days"
    return FleetLiveness(holds, f"{text}; {said}{'' if holds else ' (expected 70 to 90 %)'}")
