"""Episodes of alerts as pages show them: what, how long, who has it, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from storage.model.next_steps import NEXT_STEPS, STALE_STEP
from storage.model.severity import SEVERITIES, SEVERITY_BY_NAME, WATCH, Severity
from web.display import formatting
from web.display.metric_display import METRIC_DISPLAYS

__all__ = [
    "EPOCH", "OUTCOMES", "SEVERITY_NAMES", "ClosedEpisode", "OpenEpisode", "Record", "lead_text",
    "metric_label", "metric_value", "record_of",
]  # fmt: skip

EPOCH = datetime.fromtimestamp(0, UTC)  # a record since then is that since the start
SEVERITY_NAMES = tuple(severity.name for severity in SEVERITIES)
# Outcomes in the order in which a record names them, and what each means.
OUTCOMES: Mapping[str, str] = {
    "right": "the breach came, after a warning",
    "wrong": "the time of the warning passed without a breach",
    "withdrawn": "the forecast took the warning back before its time",
    "averted": "somebody acted, and no breach came: neither right nor wrong",
    "missed": "a breach without a warning before it",
    "again": "a breach within two hours after another one of the same metric",
}
_LABELS = {display.name: display.metric for display in METRIC_DISPLAYS}


def metric_label(metric: str | None) -> str:
    """Return the label of a metric as alerts name it; of an own metric its name."""
    if metric is None:
        return "No data"
    return _LABELS[metric].label if metric in _LABELS else metric


def metric_value(metric: str | None, value: float | None) -> str:
    """Return a value with the metric's unit: `97 %`."""
    unit = _LABELS[metric].unit if metric in _LABELS else ""
    return formatting.reading(value, unit)


def lead_text(minutes: float | None) -> str:
    """Return a lead in words: `52 min`; `–` for None."""
    return "–" if minutes is None else formatting.duration(minutes * 60)


@dataclass(frozen=True, slots=True)
class OpenEpisode:
    """A row of `web/sql/alerts_open.sql` at `now`."""

    row: Mapping[str, Any]
    now: datetime

    @property
    def id(self) -> str:
        """The id of the episode."""
        return str(self.row["episode"])

    @property
    def severity(self) -> Severity:
        """Its severity level; Watch for a name of an earlier version."""
        return SEVERITY_BY_NAME.get(self.row["severity"], WATCH)

    @property
    def label(self) -> str:
        """What it is about."""
        return metric_label(self.row["metric"])

    @property
    def chance(self) -> float | None:
        """The newest odds at the rule's horizon, else those of its newest event."""
        newest: float | None = self.row["p_now"]
        opened: float | None = self.row["p"]
        return opened if newest is None else newest

    def expected(self, name: str) -> datetime | None:
        """When the breach is expected: `earliest`, `likely` or `latest`, by the newest odds."""
        newest = any(self.row[f"odds_{each}"] for each in ("earliest", "likely", "latest"))
        at: datetime | None = self.row[f"odds_{name}" if newest else name]
        return at

    @property
    def act_within(self) -> timedelta | None:
        """The time to act: until the earliest breach; zero in a breach, None if not known."""
        if self.row["phase"] == "breached":
            return timedelta(0)
        first = self.expected("earliest") or self.expected("likely")
        return None if first is None else max(first - self.now, timedelta(0))

    @property
    def act_text(self) -> str:
        """The time to act in words."""
        left = self.act_within
        if left is not None:
            minutes = left.total_seconds() / 60
            return "Act now" if minutes < 1 else f"Act within {formatting.duration(minutes * 60)}"
        answer = self.severity.respond_within_minutes
        return f"Look within {formatting.duration(answer * 60)}" if answer else "Look when you can"

    @property
    def sentence(self) -> str:
        """What is the case or expected, in one sentence."""
        if self.row["metric"] is None:
            return "No sample arrives any more"
        value = self.row["newest_value"]
        now = metric_value(self.row["metric"], self.row["value"] if value is None else value)
        level = metric_value(self.row["metric"], self.row["threshold"])
        if self.row["phase"] == "breached":
            since = formatting.ago(self.row["breached_at"], self.now)
            return f"{self.label} is {now}; it reached its level of {level} {since}"
        return f"{self.label} is {now} and may reach {level}{self._odds_words()}"

    def _odds_words(self) -> str:
        if self.chance is None:
            return ""
        lead = lead_text(self.row["horizon_minutes"] or 480)
        checked = "" if self.row["checked"] else ", not yet checked on breaches of this fleet"
        return f": {formatting.percent(self.chance)} within {lead}{checked}"

    @property
    def times_text(self) -> str:
        """Earliest, likely and latest breach in words; empty in a breach and without odds."""
        if self.row["phase"] != "predicted":
            return ""
        parts = [
            f"{name} {formatting.clock_minutes(at, self.now)}"
            for name in ("earliest", "likely", "latest")
            if (at := self.expected(name)) is not None
        ]
        if parts and self.expected("latest") is None:
            parts.append("perhaps not within 8 h")
        return ", ".join(parts)

    @property
    def owner_text(self) -> str:
        """Who has it, in words."""
        if self.row["answer"] is None:
            step = self.row["escalation"] or 0
            return f"Nobody yet; escalated {step}×" if step else "Nobody yet"
        who = self.row["answer_by"] or "Somebody"
        what = "acts on it" if self.row["answer"] == "acting" else "acknowledged it"
        return f"{who} {what}, {formatting.ago(self.row['answer_at'], self.now)}"

    @property
    def closing_text(self) -> str:
        """When it closes if nothing changes; empty while that is not known."""
        closes_at = self.row["closes_at"]
        if closes_at is None:
            return ""
        return f"Closes at {formatting.clock_minutes(closes_at, self.now)} if nothing changes"

    @property
    def next_step(self) -> str:
        """What to do next."""
        metric = self.row["metric"]
        return STALE_STEP if metric is None else NEXT_STEPS.get(metric, "")


@dataclass(frozen=True, slots=True)
class ClosedEpisode:
    """A row of `web/sql/alerts_history.sql`."""

    row: Mapping[str, Any]

    @property
    def label(self) -> str:
        """What it was about."""
        return metric_label(self.row["metric"])

    @property
    def outcome(self) -> str:
        """What came of it; `no data` for a silent server."""
        return self.row["outcome"] or "no data"

    @property
    def lasted(self) -> str:
        """How long it was open."""
        return formatting.duration((self.row["ended_at"] - self.row["opened_at"]).total_seconds())

    @property
    def lead(self) -> str:
        """How long before the breach the warning came."""
        return lead_text(self.row["lead_minutes"])


@dataclass(frozen=True, slots=True)
class Record:
    """What came of all warnings since a time."""

    since: datetime | None
    warned: int
    correct: int
    wrong: int
    withdrawn: int
    averted: int
    still_open: int
    missed: int
    silent_servers: int
    median_lead_minutes: float | None

    @property
    def has_any(self) -> bool:
        """Whether there was any warning or breach yet."""
        return bool(self.warned or self.missed)

    @property
    def sentence(self) -> str:
        """The record in one sentence; misses are in it always."""
        counted = {
            "right": self.correct, "wrong": self.wrong, "withdrawn": self.withdrawn,
            "averted": self.averted, "open": self.still_open,
        }  # fmt: skip
        parts = [f"{n} {name}" for name, n in counted.items() if n or name in ("right", "wrong")]
        lead = self.median_lead_minutes
        median = "" if lead is None else f"; median lead {lead_text(lead)}"
        return f"Warned {self.warned}: {', '.join(parts)}; missed {self.missed}{median}."


def record_of(row: Mapping[str, Any]) -> Record:
    """Return the record in a row of `web/sql/alerts_record.sql`; EPOCH is no time of a start."""
    record = Record(**{name: row[name] for name in Record.__dataclass_fields__})
    return replace(record, since=None) if record.since == EPOCH else record
