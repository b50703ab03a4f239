"""How far the forecasts can be trusted, in words and tables: coverage, skill, accuracy and odds."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from web.display.episodes import Record, metric_label

__all__ = [
    "ACCURACY_GOAL", "DRIFT_LIMIT", "LEADS", "DriftPart", "SkillRow", "TrustFigures", "between",
    "coverage_rows", "drift_parts", "lead_name", "of_model", "share", "skill_rows",
    "trust_sentences",
]  # fmt: skip

Row = Mapping[str, Any]

ACCURACY_GOAL = 0.88
DRIFT_LIMIT = 1.05
# Lead buckets by their end in minutes; None: all leads.
LEADS: Mapping[int | None, str] = {None: "all leads", 60: "0–1 h", 240: "1–4 h", 480: "4–8 h"}
BAND = 80
# Parts of the drift that are shown and never decide: column, name, limit.
_PARTS = (
    ("prediction_error", "error of the median / scale", 0.10),
    ("distribution_shift", "values are of another distribution (KS)", 0.20),
    ("feature_drift", "means are shifted", 0.15),
    ("anomaly_rate", "points outside the 96 % band", 0.05),
    ("combined", "weighted sum of these", 0.10),
)


def lead_name(bucket: int | None) -> str:
    """Return a lead bucket in words."""
    return LEADS.get(bucket, f"up to {bucket} min")


def share(value: float | None, digits: int = 1) -> str:
    """Return a share as a percentage with digits: `79.6 %`; `–` for None."""
    return "–" if value is None else f"{100 * value:.{digits}f} %"


def between(row: Row, name: str) -> str:
    """Return the 95 % interval of a column: `(78.1–81.0)`; empty where it is not known."""
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return "" if low is None or high is None else f"({100 * low:.1f}–{100 * high:.1f})"


def of_model(rows: Iterable[Row], model: str | None) -> list[Row]:
    """Return the rows of one model; of the one with the most targets where that has none."""
    listed = list(rows)
    own = [row for row in listed if row["model"] == model]
    if own or not listed:
        return own
    most = max(listed, key=lambda row: row["targets"] or 0)["model"]
    return [row for row in listed if row["model"] == most]


def coverage_rows(rows: Iterable[Row]) -> list[list[Row]]:
    """Return the bands of all metrics by lead, then those of each metric over all leads."""
    groups: dict[tuple[str | None, int | None], list[Row]] = {}
    for row in rows:
        if row["metric"] is None or row["bucket"] is None:
            groups.setdefault((row["metric"], row["bucket"]), []).append(row)
    keys = sorted(groups, key=lambda key: (key[0] or "", key[1] or 0))
    return [sorted(groups[key], key=lambda row: int(row["band"])) for key in keys]


@dataclass(frozen=True, slots=True)
class SkillRow:
    """The skill of a metric: its row of all leads, and the rows by lead bucket."""

    metric: str
    total: Row
    by_lead: Mapping[int, Row]

    @property
    def label(self) -> str:
        """The label of the metric."""
        return metric_label(self.metric)

    @property
    def loses(self) -> bool:
        """Whether a naive forecast is better over all leads."""
        return min(self.total["skill"] or 0, self.total["seasonal_skill"] or 0) < 0


def skill_rows(rows: Iterable[Row]) -> list[SkillRow]:
    """Return a row for each metric, the lowest skill against yesterday's value first."""
    metrics: dict[str, dict[int | None, Row]] = {}
    for row in rows:
        metrics.setdefault(row["metric"], {})[row["bucket"]] = row
    shown = [
        SkillRow(name, leads[None], {k: v for k, v in leads.items() if k is not None})
        for name, leads in metrics.items() if None in leads
    ]  # fmt: skip
    return sorted(shown, key=lambda row: row.total["seasonal_skill"] or 0.0)


@dataclass(frozen=True, slots=True)
class TrustFigures:
    """The slow figures of 7 days of one model, as their views have them."""

    newest: datetime | None
    coverage: Sequence[Row]
    skill: Sequence[Row]
    accuracy: Sequence[Row]
    days: Sequence[Row]

    @property
    def band(self) -> Row | None:
        """The row of the 80 % band of all metrics and leads."""
        whole = (r for r in self.coverage if r["metric"] is None and r["bucket"] is None)
        return next((row for row in whole if row["band"] == BAND), None)

    @property
    def overall(self) -> Row | None:
        """The accuracy of all leads."""
        return next((row for row in self.accuracy if row["bucket"] is None), None)

    @property
    def bands(self) -> list[list[Row]]:
        """The coverage by lead, then by metric: the three bands of each."""
        return coverage_rows(self.coverage)

    @property
    def metrics(self) -> list[SkillRow]:
        """The skill of each metric, the lowest first."""
        return skill_rows(self.skill)

    @property
    def replayed_text(self) -> str:
        """What part of it is a replay of the history, in words; empty where nothing is."""
        part = self.band["replayed"] if self.band else 0
        if not part:
            return ""
        whole = "All" if part >= 1 else share(part, 0)
        return (
            f"{whole} of these forecasts were made by a replay of your history at the start, from "
            "what was known at each time; a week of live ones replaces them."
        )


def trust_sentences(figures: TrustFigures, record: Record) -> list[str]:
    """Return what the last 7 days say, a sentence a fact; empty before the first score."""
    band, overall, metrics = figures.band, figures.overall, figures.metrics
    said = []
    if band is not None:
        said.append(f"80 % bands held {share(band['inside'])} {between(band, 'inside')}".rstrip())
    if metrics:
        better = sum((row.total["seasonal_skill"] or 0) > 0 for row in metrics)
        said.append(f"Better than yesterday's value in {better} of {len(metrics)} metrics")
    if overall is not None:
        said.append(
            f"{share(overall['accuracy'], 0)} of the medians were within 10 % of the scale (goal "
            f"{share(ACCURACY_GOAL, 0)})"
        )
    if record.has_any:
        said.append(record.sentence.rstrip("."))
    return [f"{text}." for text in said]


@dataclass(frozen=True, slots=True)
class DriftPart:
    """A measure beside the loss: its value and its limit; it never decides."""

    name: str
    value: float | None
    limit: float

    @property
    def over(self) -> bool:
        """Whether it is over its limit."""
        return self.value is not None and self.value > self.limit


def drift_parts(row: Row) -> list[DriftPart]:
    """Return the measures beside the loss of a check."""
    return [DriftPart(name, row[column], limit) for column, name, limit in _PARTS]
