"""A problem of Hoursight itself, and what is missing while one of its processes does not run."""

from dataclasses import dataclass

from storage.model.severity import AlertLevel

__all__ = ["MISSING", "Problem"]

MISSING = {
    "writer": "nothing is committed; segments wait in the inbox and nothing is lost",
    "collector": "no samples come in",
    "engine": "roll-ups, forecasts and risk scores are not updated: this page shows old ones",
    "trainer": "no model is trained; the serving one goes on",
    "web": "this site was started separately",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem of the system: `headline` says what, `detail` why, `remedy` what to do."""

    kind: str
    level: AlertLevel
    headline: str
    remedy: str
    detail: str = ""
