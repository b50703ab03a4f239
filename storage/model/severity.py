"""Severity levels, health statuses and alert levels: slug, name and order of each.

A slug names its status in URLs (`?severity=`), in style sheets and in tests; a name is what people
read. Nothing else in the code spells them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

__all__ = [
    "CRITICAL", "DANGER", "DEGRADING", "HEALTHY", "HEALTH_STATUSES", "IMMINENT", "LOADING",
    "SEVERITIES", "SEVERITY_BY_NAME", "STALE", "UNSCORED", "WARNING", "WATCH", "AlertLevel",
    "HealthStatus", "Severity", "severity_of",
]  # fmt: skip


class AlertLevel(StrEnum):
    """How urgent a problem of the system or of a source is, most urgent first."""

    CRITICAL = "critical"
    WARNING = "warning"
    OK = "ok"

    @property
    def order(self) -> int:
        """Sort key: 0 for the most urgent."""
        return list(AlertLevel).index(self)


@dataclass(frozen=True, slots=True)
class HealthStatus:
    """Health of a server; `rank`, on the scale of scores from 0 to 100, orders the worst first."""

    slug: str
    name: str
    rank: float


@dataclass(frozen=True, slots=True)
class Severity(HealthStatus):
    """Health by score: scores from `rank` up; `respond_within_minutes` is None without a duty."""

    respond_within_minutes: int | None


IMMINENT = Severity("imminent", "Imminent failure", 90, 5)
CRITICAL = Severity("critical", "Critical", 80, 15)
DANGER = Severity("danger", "Danger", 70, 30)
WARNING = Severity("warning", "Warning", 60, 60)
DEGRADING = Severity("degrading", "Degrading", 50, 120)
WATCH = Severity("watch", "Watch", 30, None)
HEALTHY = Severity("healthy", "Healthy", 0, None)
SEVERITIES: tuple[Severity, ...] = (
    IMMINENT, CRITICAL, DANGER, WARNING, DEGRADING, WATCH, HEALTHY,
)  # fmt: skip

# By name, as the lake has it, and by slug, as settings and URLs have it.
SEVERITY_BY_NAME: Mapping[str, Severity] = {
    key: severity for severity in SEVERITIES for key in (severity.name, severity.slug)
}

# A server without recent samples ranks just below Warning: nobody knows how it is.
STALE = HealthStatus("silent", "No data", 59.9)
UNSCORED = HealthStatus("unscored", "Not scored yet", 29.9)
LOADING = HealthStatus("loading", "Loading history", 29.8)
HEALTH_STATUSES: tuple[HealthStatus, ...] = tuple(
    sorted((*SEVERITIES, STALE, UNSCORED, LOADING), key=lambda status: -status.rank)
)


def severity_of(score: float) -> Severity:
    """Return the severity level of a score from 0 to 100."""
    return next((severity for severity in SEVERITIES if score >= severity.rank), HEALTHY)
