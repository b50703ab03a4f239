"""Alert rules as the page of rules shows them: with their proof, and the results of a trial."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from web.display import formatting
from web.display.episodes import lead_text

__all__ = ["RulesInForce", "ShownRule", "TrialResult", "trial_cost", "trial_results", "with_proof"]

# Measured: CPU seconds of a trial for each day, and for each day of one server.
SECONDS_PER_DAY, SECONDS_PER_HOST_DAY = 25.0, 0.1
START_SECONDS = 3.0


class RuleWords(msgspec.Struct, frozen=True):
    """A rule as the engine tells it."""

    name: str
    enabled: bool
    stock: bool
    kind: str  # metrics or no data
    covers: str
    sentences: list[str]


class WindowWords(msgspec.Struct, frozen=True):
    """A maintenance window, with the occurrence that is on or comes next."""

    name: str
    zone: str
    repeats: str
    covers: str
    active: bool
    start: datetime | None = None
    end: datetime | None = None
    local_start: str | None = None
    local_end: str | None = None


class Ladder(msgspec.Struct, frozen=True):
    """Who is notified at a severity, and who after that."""

    severity: str
    steps: str


class RulesInForce(msgspec.Struct, frozen=True):
    """The answer of the engine's function `alert_rules`."""

    rules: list[RuleWords] = []
    maintenance: list[WindowWords] = []
    ladders: list[Ladder] = []
    silent_share: float = 0.0
    refusals: list[str] = []


@dataclass(frozen=True, slots=True)
class ShownRule:
    """A rule with the row of its proof (None: nothing came of it yet); `words` None: it is gone."""

    name: str
    words: RuleWords | None
    proof: Mapping[str, Any] | None

    @property
    def proof_text(self) -> str:
        """What came of its warnings in 30 days, in words."""
        row = self.proof
        if row is None:
            return "No warning and no breach in 30 days."
        counted = (
            f"Warned {row['warnings']}: {row['correct']} right, {row['wrong']} wrong, "
            f"{row['withdrawn']} withdrawn, {row['averted']} averted, {row['still_open']} open; "
            f"missed {row['missed']}."
        )
        if row["median_lead_minutes"] is None:
            return counted
        median, p10 = lead_text(row["median_lead_minutes"]), lead_text(row["p10_lead_minutes"])
        return f"{counted} Lead: median {median}, 9 in 10 longer than {p10}."

    @property
    def false_text(self) -> str:
        """How many false alarms it gives a host-day, in words; empty where that is not known."""
        rate = self.proof["false_per_host_day"] if self.proof else None
        return "" if rate is None else f"{rate:.3f} false alarms per host-day."


def with_proof(
    rules: Iterable[RuleWords], rows: Iterable[Mapping[str, Any]]
) -> tuple[ShownRule, ...]:
    """Return the rules in force, then those that are gone and have a proof."""
    proofs = {row["rule"]: row for row in rows if row["rule"]}
    shown = [ShownRule(rule.name, rule, proofs.pop(rule.name, None)) for rule in rules]
    return (*shown, *(ShownRule(name, None, row) for name, row in proofs.items()))


@dataclass(frozen=True, slots=True)
class TrialResult:
    """What one rule would have done on the stored history."""

    row: Mapping[str, Any]

    @property
    def sentence(self) -> str:
        """The result in words."""
        row = self.row
        lead = ""
        if row["lead_median"] is not None:
            lead = f" Lead: median {lead_text(row['lead_median'])}"
            lead += f", 9 in 10 longer than {lead_text(row['lead_p10'])}."
        return (
            f"{row['right']} right, {row['false']} wrong ({row['withdrawn']} of them withdrawn), "
            f"{row['averted']} averted; {row['missed']} of {row['breaches']} breaches missed.{lead}"
        )

    @property
    def cost_text(self) -> str:
        """What it would have cost those who are notified."""
        row = self.row
        rate = row["false_per_host_day"]
        false = "" if rate is None else f"{rate:.3f} false alarms per host-day; "
        return (
            f"{false}{row['episodes_a_week']:.1f} episodes and {row['pages_a_week']:.1f} pages "
            "a week."
        )


def trial_results(answer: Mapping[str, Any]) -> Sequence[TrialResult]:
    """Return the results of the engine's function `alert_trial`."""
    return [TrialResult(row) for row in answer["rules"]]


def trial_cost(servers: int, days: float) -> str:
    """Return about how long a trial takes, in words."""
    seconds = START_SECONDS + days * (SECONDS_PER_DAY + SECONDS_PER_HOST_DAY * servers)
    return f"about {formatting.duration(seconds)}"
