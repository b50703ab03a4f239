"""Words of alerts: numbers, odds and times as sentences have them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from functions.rules.alerts.rule import LEADS
from functions.rules.alerts.signals import Signal
from storage.model.metrics import METRICS

__all__ = [
    "amount",
    "at",
    "breached_words",
    "label",
    "lead_words",
    "listed",
    "odds_words",
    "period",
    "warning_words",
]

_LABELS = {m.name: (m.label, m.unit) for m in METRICS}
_LEAD_NAMES = {
    lead: f"{name[:-1]} {'h' if name[-1] == 'h' else 'min'}" for name, lead in LEADS.items()
}


def label(metric: str | None, units: Mapping[str, tuple[str, str]] = _LABELS) -> str:
    """Return the label of a metric; of one that is not known, its name."""
    return "Data" if metric is None else units.get(metric, (metric, ""))[0]


def amount(metric: str | None, value: float | None) -> str:
    """Return a value with its unit."""
    if value is None:
        return "unknown"
    unit = _LABELS.get(metric or "", ("", ""))[1]
    number = f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{number} {unit}".strip()


def at(ts: datetime) -> str:
    """Return a time in UTC, to the minute."""
    return f"{ts.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def period(length: timedelta) -> str:
    """Return a period in hours and minutes."""
    hours, minutes = divmod(round(length.total_seconds() / 60), 60)
    return " ".join([f"{hours} h"] * bool(hours) + [f"{minutes} min"] * bool(minutes or not hours))


def lead_words(minutes: int | None) -> str:
    """Return a horizon: `1 h`."""
    return "8 h" if minutes is None else _LEAD_NAMES.get(minutes, f"{minutes} min")


def odds_words(p: float | None, lead_minutes: int | None) -> str:
    """Return odds with their horizon: `34 % within 1 h`."""
    if p is None:
        return "no odds"
    percent = f"{100 * p:.0f}" if 0.01 <= p <= 0.99 else f"{100 * p:.1f}"
    return f"{percent} % within {lead_words(lead_minutes)}"


def listed(names: Sequence[str]) -> str:
    """Return names as a list in words."""
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def warning_words(signal: Signal) -> str:
    """Return what a warning says: level, odds, likely time, and the value now."""
    row = signal.odds_row or {}
    likely = f", likely at {at(row['likely'])}" if row.get("likely") else ""
    checked = "" if row.get("checked") else ", odds not yet checked on breaches of this fleet"
    return (
        f"{label(signal.metric)} at {amount(signal.metric, signal.threshold)}: "
        f"{odds_words(signal.p, signal.lead_minutes)}{likely}, "
        f"now {amount(signal.metric, signal.value)}{checked}"
    )


def breached_words(signal: Signal) -> str:
    """Return what a breach says: the value, the level, and since when."""
    since = f" since {at(signal.breached_at)}" if signal.breached_at else ""
    return (
        f"{label(signal.metric)} at {amount(signal.metric, signal.value)}, at or beyond "
        f"{amount(signal.metric, signal.threshold)}{since}"
    )
