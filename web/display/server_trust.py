"""How far the forecasts of a server can be trusted: state, skill there, and what is missing."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from storage.model.evidence import SKILL_HOURS
from storage.model.grid import CONTEXT_STEPS, MIN_CONTEXT_STEPS, STEP_MINUTES
from web.display import formatting
from web.display.metric_display import MetricDisplay

__all__ = ["MetricTrust", "ServerTrust", "server_trust"]


@dataclass(frozen=True, slots=True)
class MetricTrust:
    """One metric's forecast: its state, and its skill of 7 days against naive forecasts.

    `skill` is 1 − loss / loss of the better naive forecast, None where it is not known; `hours` are
    those with scores.
    """

    display: MetricDisplay
    state: str | None
    why: str | None
    context_steps: int
    leading: str | None
    skill: float | None
    hours: int

    @property
    def forecast(self) -> bool:
        """Whether a forecast is served."""
        return self.state in ("ok", "early")

    @property
    def judged(self) -> bool:
        """Whether there are enough scores to judge the skill."""
        return self.hours >= SKILL_HOURS and self.skill is not None

    @property
    def missing(self) -> str:
        """How much more evidence it takes until the forecast may be trusted; empty if enough."""
        if self.state is None:
            return ""
        if self.context_steps < MIN_CONTEXT_STEPS:
            left = (MIN_CONTEXT_STEPS - self.context_steps) * STEP_MINUTES * 60
            return f"{formatting.duration(left)} more of samples until the first forecast"
        if self.hours < SKILL_HOURS:
            left = SKILL_HOURS - self.hours
            return f"{left} more hour{'s' * (left > 1)} of evidence"
        if self.state == "early":
            left = (CONTEXT_STEPS - self.context_steps) * STEP_MINUTES * 60
            return f"{formatting.duration(left)} more of samples until it knows a whole day"
        return ""

    @property
    def verdict(self) -> str:
        """Whether to trust it here, in words."""
        if self.state is None:
            return "not forecast"
        if self.state == "abstained":
            return f"no forecast: {self.why or 'the forecaster abstained'}"
        if not self.judged or self.skill is None:
            return "too early to judge"
        if self.skill < 0:
            return f"{formatting.percent(-self.skill)} more error than a naive forecast"
        return f"{formatting.percent(self.skill)} less error than a naive forecast"


@dataclass(frozen=True, slots=True)
class ServerTrust:
    """All metrics of a server; `model` is the fingerprint of the model, None without a forecast."""

    model: str | None
    metrics: tuple[MetricTrust, ...]

    @property
    def sentence(self) -> str:
        """How many metrics are forecast, how many of them well, and what is missing most often."""
        known = [each for each in self.metrics if each.state is not None]
        served = [each for each in known if each.forecast]
        if not known:
            return "No forecast yet."
        judged = [each for each in served if each.judged]
        better = sum((each.skill or 0) > 0 for each in judged)
        text = f"{len(served)} of {len(known)} metrics are forecast"
        if judged:
            text += f"; {better} of {len(judged)} judged ones beat a naive forecast here"
        missing = Counter(each.missing for each in known if each.missing)
        if missing:
            (words, count), *_ = missing.most_common(1)
            text += f"; {words} for {self._listed(words, count)}"
        return f"{text}."

    def _listed(self, words: str, count: int) -> str:
        if count > 3:
            return f"{count} metrics"
        return ", ".join(each.display.label for each in self.metrics if each.missing == words)


def server_trust(
    displays: Iterable[MetricDisplay], forecasts: Sequence[Mapping[str, Any]],
    scores: Iterable[Mapping[str, Any]],
) -> ServerTrust:  # fmt: skip
    """Return the trust in rows of `forecasts` and of `server_skill.sql`."""
    made = {row["metric"]: row for row in forecasts}
    scored = {row["metric"]: row for row in scores}
    metrics = tuple(
        _metric(display, made.get(display.name, {}), scored.get(display.name, {}))
        for display in displays
    )
    return ServerTrust(next((r["model"] for r in forecasts if r["model"]), None), metrics)


def _metric(
    display: MetricDisplay, made: Mapping[str, Any], scored: Mapping[str, Any]
) -> MetricTrust:
    return MetricTrust(
        display, made.get("state"), made.get("why"), made.get("context_steps") or 0,
        made.get("leading"), _skill(scored), scored.get("hours") or 0,
    )  # fmt: skip


def _skill(scored: Mapping[str, Any]) -> float | None:
    naive = [scored[n] for n in ("naive", "seasonal") if scored.get(n) is not None]
    if scored.get("loss") is None or not naive or min(naive) <= 0:
        return None
    return float(1 - scored["loss"] / min(naive))
