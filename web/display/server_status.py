"""Status of one server: health, breach probabilities and the texts that describe them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from storage.model.grid import CONTEXT_STEPS, LEAD_MINUTES, MIN_CONTEXT_STEPS, STEP_MINUTES
from storage.model.severity import (
    CRITICAL,
    LOADING,
    STALE,
    UNSCORED,
    HealthStatus,
    severity_of,
)
from storage.model.time_limits import age_s
from web.display import formatting
from web.display.metric_display import display_of, displayed_levels

__all__ = [
    "SHOWN_FROM",
    "STALE_SECONDS",
    "Loading",
    "Odds",
    "ScoreReason",
    "ServerStatus",
    "server_status",
]

# A server without a sample for a whole step of the grid is stale.
STALE_SECONDS = STEP_MINUTES * 60
# A breach is named from these odds within 8 hours on.
SHOWN_FROM = 0.05


@dataclass(frozen=True, slots=True)
class ScoreReason:
    """A reason for a score, with the points that it adds."""

    metric: str | None
    points: float
    text: str


@dataclass(frozen=True, slots=True)
class Loading:
    """History load of a server's source: time reached, and share of the whole period, 0 to 1."""

    reached: datetime
    share: float


@dataclass(frozen=True, slots=True)
class Odds:
    """Probability, 0 to 1, that a critical level is exceeded within `minutes`; None if unknown."""

    minutes: int
    chance: float | None

    @property
    def lead(self) -> str:
        """The lead time as text."""
        return formatting.duration(self.minutes * 60)

    @property
    def chance_text(self) -> str:
        """The probability as text."""
        return formatting.percent(self.chance)


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """One server as of `now`; scores are None where there are no data to score."""

    now: datetime
    server: str
    profile: str
    site: str | None
    cores: int | None
    disk_volume: str | None
    net_links: str | None
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
    def stale(self) -> bool:
        """Whether samples have stopped, other than while history is being loaded."""
        return self.loading is None and self.age_seconds > STALE_SECONDS

    @property
    def age_seconds(self) -> float:
        """Age of its newest sample [s]; infinite without one."""
        if self.last_seen is None:
            return float("inf")
        return age_s(self.last_seen, self.now)

    @property
    def score(self) -> float | None:
        """The higher of the present and the forecast score."""
        return max((s for s in (self.now_score, self.ahead_score) if s is not None), default=None)

    @property
    def scored(self) -> HealthStatus:
        """The health status by score alone."""
        return UNSCORED if self.score is None else severity_of(self.score)

    @property
    def health(self) -> HealthStatus:
        """The health status: by score, unless data are stale or still being loaded."""
        if self.loading is not None:
            return LOADING
        return STALE if self.stale else self.scored

    @property
    def respond_within_minutes(self) -> int | None:
        """Time to respond; None when no action is needed."""
        if self.score is None:
            return None
        return severity_of(self.score).respond_within_minutes

    @property
    def act_minutes(self) -> float | None:
        """Time to act: the time to respond, or less when the breach may come sooner.

        None when no action is needed, or nothing is known. As in web/sql/memory_fleet.sql.
        """
        respond, chance = self.respond_within_minutes, self.chance
        if respond is None or self.stale or self.loading is not None:
            return None
        if self.breach_earliest is None or chance is None or chance < SHOWN_FROM:
            return respond
        return min(respond, max(0, (self.breach_earliest - self.now).total_seconds() / 60))

    @property
    def act_text(self) -> str:
        """The time to act in words; empty when no action is needed."""
        minutes = self.act_minutes
        if minutes is None:
            return ""
        return "act now" if minutes < 1 else f"act within {formatting.duration(minutes * 60)}"

    @property
    def rank(self) -> float:
        """Sort key, worst first: the score, or the rank of a status without a present score."""
        if self.loading is not None:
            return LOADING.rank
        score = UNSCORED.rank if self.score is None else self.score
        return max(score, STALE.rank) if self.stale else score

    @property
    def chance(self) -> float | None:
        """Probability of a breach within the whole horizon."""
        return self.odds[-1].chance

    @property
    def stale_text(self) -> str:
        """Since when there are no data."""
        if self.last_seen is None:
            return "No data for more than 8 days"
        return f"No data since {formatting.clock(self.last_seen, self.now)}"

    @property
    def loading_text(self) -> str:
        """How much of its history is loaded; empty when none is being loaded."""
        if self.loading is None:
            return ""
        reached = formatting.clock_minutes(self.loading.reached, self.now)
        return f"Loading history, up to {reached} ({formatting.percent(self.loading.share)})"

    @property
    def has_forecast(self) -> bool:
        """Whether there is a forecast to display."""
        return self.forecast_state in ("ok", "early")

    @property
    def collecting(self) -> bool:
        """Whether its history is still too short for a forecast."""
        none_yet = self.forecast_state in (None, "abstained")
        return none_yet and self.context_steps < MIN_CONTEXT_STEPS

    @property
    def forecast_class(self) -> str:
        """CSS class of the forecast state: `early`, `abstained` or empty."""
        if self.collecting or self.forecast_state is None:
            return ""
        return {"ok": "", "early": "early"}.get(self.forecast_state, "abstained")

    @property
    def breached(self) -> bool:
        """Whether the likeliest breach has happened; the present score must confirm it."""
        if self.breach_likely is None or self.risk_at is None or self.now_score is None:
            return False
        return self.breach_likely <= self.risk_at and self.now_score >= CRITICAL.rank

    @property
    def forecast_text(self) -> str:
        """The state of the forecast; empty when it is normal."""
        if self.loading is not None:
            return ""
        if self.forecast_state == "early":
            return f"Early forecast from {self.context_text} of data"
        if self.forecast_state == "ok":
            return ""
        if self.collecting:
            return f"Collecting, {self.context_steps} of {CONTEXT_STEPS} steps"
        if self.forecast_state is None:
            return "No forecast yet"
        return f"No forecast: {self.forecast_why or 'the forecaster abstained'}"

    @property
    def context_text(self) -> str:
        """Length of the history that the forecast can use."""
        return formatting.duration(self.context_steps * STEP_MINUTES * 60)

    @property
    def breach_text(self) -> str:
        """The likeliest breach, its level and time; empty when none is likely."""
        if self.breach_metric is None or self.chance is None or self.chance < SHOWN_FROM:
            return ""
        metric = display_of(self.breach_metric)
        own = displayed_levels(self.profile, self.cores).get(self.breach_metric)
        level = formatting.reading(own.critical, metric.unit) if own else "its critical level"
        if self.breached:
            return f"{metric.label} is past {level} now"
        if self.breach_likely is None:
            return f"{metric.label} may pass {level} within {self.odds[-1].lead}{self._earliest()}"
        when = formatting.ahead(self.breach_likely, self.now)
        about = "in" if when.startswith("less") else "in about"
        return f"{metric.label} likely passes {level} {about} {when}{self._earliest()}"

    def _earliest(self) -> str:
        if self.breach_earliest is None:
            return ""
        return f"; earliest {formatting.ahead(self.breach_earliest, self.now)}"

    def without_forecast(self) -> "ServerStatus":
        """Return the same server with its present score only."""
        return replace(
            self._without_outlook(), forecast_state="refused", forecast_why="the model was refused"
        )

    def while_loading(self, loading: Loading) -> "ServerStatus":
        """Return the same server without scores: its newest sample is too old for them."""
        return replace(
            self._without_outlook(), loading=loading, now_score=None, reasons=(),
            forecast_at=None, forecast_state=None, forecast_why=None,
        )  # fmt: skip

    def _without_outlook(self) -> "ServerStatus":
        return replace(
            self, ahead_score=None, odds=tuple(Odds(o.minutes, None) for o in self.odds),
            breach_metric=None, breach_earliest=None, breach_likely=None, breach_latest=None,
        )  # fmt: skip


def server_status(row: Mapping[str, Any], now: datetime) -> ServerStatus:
    """Return the status in a row of the view `fleet_now`."""
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
