"""Severity levels: from a risk score to the time within which to respond."""

from dataclasses import dataclass

__all__ = ["SEVERITIES", "Severity", "severity_of"]


@dataclass(frozen=True, slots=True)
class Severity:
    """A level: scores from `floor` up; `respond_within_minutes` is None if no action is needed."""

    name: str
    floor: int
    respond_within_minutes: int | None


SEVERITIES: tuple[Severity, ...] = (
    Severity("Imminent failure", 90, 5),
    Severity("Critical", 80, 15),
    Severity("Danger", 70, 30),
    Severity("Warning", 60, 60),
    Severity("Degrading", 50, 120),
    Severity("Watch", 30, None),
    Severity("Healthy", 0, None),
)


def severity_of(score: float) -> Severity:
    """The severity of a score from 0 to 100."""
    return next((level for level in SEVERITIES if score >= level.floor), SEVERITIES[-1])
