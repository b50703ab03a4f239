"""Odds of a server by metric and lead in words, and on what they were checked."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from storage.model.evidence import LEAST_EVENTS
from storage.model.grid import LEAD_MINUTES
from web.display import formatting
from web.display.metric_display import MetricDisplay, display_of
from web.display.server_status import Odds

__all__ = ["MetricOdds", "OddsRecord", "metric_odds", "odds_record"]

LEAST_CHANCE = 0.01  # a smaller one within 8 h is not listed
LIKELY_NOW = "now"


@dataclass(frozen=True, slots=True)
class OddsRecord:
    """On what the fleet's odds were checked; `cases` by lead in minutes."""

    breaches: int
    cases: Mapping[int, int]

    @property
    def checked(self) -> bool:
        """Whether there were enough breaches."""
        return self.breaches >= LEAST_EVENTS

    @property
    def sentence(self) -> str:
        """What the odds were checked on, or what is missing for it."""
        if self.checked:
            cases = max(self.cases.values(), default=0)
            return f"Checked on {cases:,} cases with {self.breaches} breaches of this fleet."
        left = LEAST_EVENTS - self.breaches
        return (
            f"Not yet checked: {left} more breach{'es' * (left > 1)} of this fleet "
            f"({self.breaches} of {LEAST_EVENTS} seen)."
        )

    def of_lead(self, minutes: int) -> str:
        """What the odds within so many minutes were checked on."""
        if not self.checked or minutes not in self.cases:
            return "not yet checked"
        return f"checked on {self.cases[minutes]:,} cases"


@dataclass(frozen=True, slots=True)
class MetricOdds:
    """The odds that one metric breaches its critical level; times are UTC, None beyond 8 h."""

    display: MetricDisplay
    level: float | None
    odds: tuple[Odds, ...]
    earliest: datetime | None
    likely: datetime | None
    latest: datetime | None
    drivers: tuple[str, ...]
    issued_at: datetime

    @property
    def chance(self) -> float:
        """The probability within the whole horizon."""
        return self.odds[-1].chance or 0.0

    def sentence(self, now: datetime) -> str:
        """What is expected and when: earliest, likely and latest."""
        limit = formatting.reading(self.level, self.display.unit)
        head = (
            f"{self.display.label} passes {limit} within 8 h "
            f"with {formatting.percent(self.chance)} chance"
        )
        if self.likely is None:
            return f"{head}; later than 8 h is likelier"
        return f"{head}: {_when('earliest', self.earliest, now)}, " + ", ".join(
            (_when("likely", self.likely, now), _when("latest", self.latest, now))
        )


def _when(name: str, at: datetime | None, now: datetime) -> str:
    if at is None:
        return f"{name} after 8 h"
    return f"{name} {LIKELY_NOW if at <= now else formatting.clock_minutes(at, now)}"


def odds_record(rows: Iterable[Mapping[str, Any]]) -> OddsRecord:
    """Return the record in rows of `odds_record.sql`."""
    rows = list(rows)
    breaches = max((row["breaches"] or 0 for row in rows), default=0)
    return OddsRecord(breaches, {row["lead_minutes"]: row["cases"] or 0 for row in rows})


def metric_odds(rows: Iterable[Mapping[str, Any]]) -> Sequence[MetricOdds]:
    """Return the odds in rows of `server_odds.sql` that are worth a line, likeliest first."""
    return [_metric_odds(row) for row in rows if (row["p_480m"] or 0) >= LEAST_CHANCE]


def _metric_odds(row: Mapping[str, Any]) -> MetricOdds:
    display = display_of(row["metric"])
    return MetricOdds(
        display, display.value(row["level"]),
        tuple(Odds(lead, row[f"p_{lead}m"]) for lead in LEAD_MINUTES),
        row["earliest"], row["likely"], row["latest"], tuple(row["drivers"] or ()),
        row["issued_at"],
    )  # fmt: skip
