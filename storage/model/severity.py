"""The one ladder from a risk score to what people do about it."""

from dataclasses import dataclass

__all__ = ["LADDER", "Severity", "severity_of"]


@dataclass(frozen=True, slots=True)
class Severity:
    """A rung: scores from `floor` up; `respond_within_minutes` is None when nobody has to act."""

    name: str
    floor: int
    respond_within_minutes: int | None
    route: str


LADDER: tuple[Severity, ...] = (
    Severity("Imminent failure", 90, 5, "page, then escalate after 5 min"),
    Severity("Critical", 80, 15, "page on-call; 15 min: senior; 30 min: director"),
    Severity("Danger", 70, 30, "team lead by chat and mail; 30 min: on-call"),
    Severity("Warning", 60, 60, "team chat and mail"),
    Severity("Degrading", 50, 120, "mail"),
    Severity("Watch", 30, None, "site only"),
    Severity("Healthy", 0, None, "nobody"),
)


def severity_of(score: float) -> Severity:
    """The rung on which a score from 0 to 100 stands."""
    return next((rung for rung in LADDER if score >= rung.floor), LADDER[-1])
