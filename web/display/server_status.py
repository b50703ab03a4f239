"""How a server stands: its rung on the ladder, its odds, and both in plain words."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from storage.model.grid import CONTEXT_STEPS, LEAD_MINUTES, MIN_CONTEXT_STEPS, STEP_MINUTES
from storage.model.severity import severity_of
from web.display import formatting
from web.display.metric_display import display_of, displayed_levels

__all__ = ["RUNGS", "SILENT_SECONDS", "Loading", "Odds", "ScoreReason", "ServerStatus", "standing"]

# A server that was not heard of for a whole step of the grid has no data.
SILENT_SECONDS = STEP_MINUTES * 60

# Slug and word of each rung, worst first; where silence and the unknown rank among them.
_SILENT_RANK = 59.9
_UNSCORED_RANK = 29.9
_LOADING_RANK = 29.8

# What a single metric at its critical level scores.
CRITICAL_SCORE = 80
RUNGS: dict[str, str] = {
    "imminent": "Imminent failure", "critical": "Critical", "danger": "Danger",
    "warning": "Warning", "silent": "No data", "degrading": "Degrading", "watch": "Watch",
    "unscored": "Not scored yet", "loading": "Loading history", "healthy": "Healthy",
}  # fmt: skip
_SLUGS = {word: slug for slug, word in RUNGS.items()}


@dataclass(frozen=True, slots=True)
class ScoreReason:
    """Why a score is what it is."""

    metric: str | None
    points: float
    text: str


@dataclass(frozen=True, slots=True)
class Loading:
    """Progress of a source that loads history: up to when, and the share of the span, 0 to 1."""

    reached: datetime
    share: float


@dataclass(frozen=True, slots=True)
class Odds:
    """The chance that a critical level is passed within `minutes`."""

    minutes: int
    chance: float | None

    @property
    def lead(self) -> str:
        """The lead in words."""
        return formatting.span(self.minutes * 60)

    @property
    def words(self) -> str:
        """The chance in words."""
        return formatting.percent(self.chance)


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """One server as of `now`; scores are None where there is nothing to score from."""

    now: datetime
    server: str
    profile: str
    site: str | None
    cores: int | None
    last_seen: datetime | None
    context_steps: int
    risk_at: datetime | None
    now_score: float | None
    ahead_score: float | None
    odds: tuple[Odds, ...]
    breach_metric: str | None
    breach_earliest: datetime | None
    breach_likely: datetime | None
    breach_latest: datetime | None
    reasons: tuple[ScoreReason, ...]
    forecast_at: datetime | None
    forecast_state: str | None
    forecast_why: str | None
    loading: Loading | None = None

    @property
    def silent(self) -> bool:
        """Whether its data stopped."""
        return self.loading is None and self.age_seconds > SILENT_SECONDS

    @property
    def age_seconds(self) -> float:
        """Age of its newest sample; infinite without one."""
        if self.last_seen is None:
            return float("inf")
        return (self.now - self.last_seen).total_seconds()

    @property
    def score(self) -> float | None:
        """The higher of now and ahead."""
        return max((s for s in (self.now_score, self.ahead_score) if s is not None), default=None)

    @property
    def scored_word(self) -> str:
        """The rung by score alone."""
        return RUNGS["unscored"] if self.score is None else severity_of(self.score).name

    @property
    def word(self) -> str:
        """What it is called: its rung, or that there is no data, or none that is recent yet."""
        if self.loading is not None:
            return RUNGS["loading"]
        return RUNGS["silent"] if self.silent else self.scored_word

    @property
    def slug(self) -> str:
        """The rung as a name for style sheets and queries."""
        return _SLUGS[self.word]

    @property
    def respond_within_minutes(self) -> int | None:
        """Time to act; None when nobody has to."""
        if self.score is None:
            return None
        return severity_of(self.score).respond_within_minutes

    @property
    def rank(self) -> float:
        """Worst first: the score, with silence above Watch and the unknown above Healthy."""
        if self.loading is not None:
            return _LOADING_RANK
        score = _UNSCORED_RANK if self.score is None else self.score
        return max(score, _SILENT_RANK) if self.silent else score

    @property
    def chance(self) -> float | None:
        """P(breach) within the whole horizon."""
        return self.odds[-1].chance

    @property
    def silence_words(self) -> str:
        """Since when there is no data."""
        if self.last_seen is None:
            return "No data for more than 8 days"
        return f"No data since {formatting.clock(self.last_seen, self.now)}"

    @property
    def loading_words(self) -> str:
        """How much of its history is loaded; empty when none is being loaded."""
        if self.loading is None:
            return ""
        reached = formatting.moment(self.loading.reached, self.now)
        return f"loading history, up to {reached} ({formatting.percent(self.loading.share)})"

    @property
    def forecasts(self) -> bool:
        """Whether there is a forecast to show."""
        return self.forecast_state in ("ok", "early")

    @property
    def collecting(self) -> bool:
        """Whether it is too new for a forecast."""
        waits = self.forecast_state in (None, "abstained")
        return waits and self.context_steps < MIN_CONTEXT_STEPS

    @property
    def forecast_mood(self) -> str:
        """How worrying the state of its forecast is: `early`, `abstained` or nothing."""
        if self.collecting or self.forecast_state is None:
            return ""
        return "early" if self.forecast_state == "early" else "abstained"

    @property
    def breached(self) -> bool:
        """Whether the likeliest breach has come: the present has to say so too."""
        if self.breach_likely is None or self.risk_at is None or self.now_score is None:
            return False
        return self.breach_likely <= self.risk_at and self.now_score >= CRITICAL_SCORE

    @property
    def forecast_words(self) -> str:
        """The state of its forecast, when there is something to say about it."""
        if self.loading is not None:
            return ""
        if self.forecast_state == "early":
            return f"early forecast from {self.context_words} of data"
        if self.forecast_state == "ok":
            return ""
        if self.collecting:
            return f"collecting, {self.context_steps} of {CONTEXT_STEPS} steps"
        if self.forecast_state is None:
            return "no forecast yet"
        return f"no forecast: {self.forecast_why or 'the forecaster abstained'}"

    @property
    def context_words(self) -> str:
        """How much history it has."""
        return formatting.span(self.context_steps * STEP_MINUTES * 60)

    @property
    def breach_words(self) -> str:
        """What is likeliest to go wrong, and when, in one plain sentence; empty when nothing is."""
        if self.breach_metric is None or self.chance is None or self.chance < 0.05:
            return ""
        what = display_of(self.breach_metric)
        own = displayed_levels(self.profile, self.cores).get(self.breach_metric)
        level = formatting.reading(own.critical, what.unit) if own else "its critical level"
        if self.breached:
            return f"{what.label} is past {level} now"
        if self.breach_likely is None:
            return f"{what.label} may pass {level} within {self.odds[-1].lead}{self._earliest()}"
        when = formatting.ahead(self.breach_likely, self.now)
        about = "in" if when.startswith("less") else "in about"
        return f"{what.label} likely passes {level} {about} {when}{self._earliest()}"

    def _earliest(self) -> str:
        if self.breach_earliest is None:
            return ""
        return f"; earliest {formatting.ahead(self.breach_earliest, self.now)}"

    def without_forecast(self) -> "ServerStatus":
        """The same server judged by its present alone."""
        return replace(
            self._without_outlook(), forecast_state="refused", forecast_why="the model was refused"
        )

    def while_loading(self, loading: Loading) -> "ServerStatus":
        """Return the same server without judgement: its newest sample is not of the present."""
        return replace(
            self._without_outlook(), loading=loading, now_score=None, reasons=(),
            forecast_at=None, forecast_state=None, forecast_why=None,
        )  # fmt: skip

    def _without_outlook(self) -> "ServerStatus":
        return replace(
            self, ahead_score=None, odds=tuple(Odds(o.minutes, None) for o in self.odds),
            breach_metric=None, breach_earliest=None, breach_likely=None, breach_latest=None,
        )  # fmt: skip


def standing(row: Mapping[str, Any], now: datetime) -> ServerStatus:
    """The standing in a row of the view `fleet_now`."""
    names = set(ServerStatus.__dataclass_fields__) - {
        "now",
        "odds",
        "reasons",
        "profile",
        "loading",
    }
    return ServerStatus(
        now=now,
        profile=row["profile"] or "generic",
        odds=tuple(Odds(lead, row[f"p_breach_{lead}m"]) for lead in LEAD_MINUTES),
        reasons=tuple(ScoreReason(**reason) for reason in row["reasons"] or ()),
        **{name: row[name] for name in names},
    )
