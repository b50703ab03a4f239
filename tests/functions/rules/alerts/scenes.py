"""Scenes of alerts: signals at times, and a timeline that plays them step by step."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from functions.rules.alerts.episode import Episode, Mark, episode_of
from functions.rules.alerts.episodes import Inputs, step
from functions.rules.alerts.rule import STOCK_RULE, ServerFacts
from functions.rules.alerts.rule_book import STOCK_BOOK, RuleBook
from functions.rules.alerts.signals import Signal

T0 = datetime(2026, 5, 6, 12, 0, tzinfo=UTC)
MEMORY = "mem_used_pct"
ODDS_ROW = {"checked": True, "model": "m1", "likely": T0 + timedelta(hours=1)}


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def calm(now: datetime, **changes: Any) -> Signal:
    """Nothing is wrong: the value has been under the level and the odds have been low for hours."""
    quiet = Signal(
        "a", MEMORY, 98.0, value=60.0, under_minutes=300,
        below_minutes=300, below_since=now - minutes(300), p=0.01, lead_minutes=60, issued_at=now,
        odds_row=ODDS_ROW,
    )  # fmt: skip
    return replace(quiet, **changes)


def warned(now: datetime, p: float = 0.34, **changes: Any) -> Signal:
    """The odds warn."""
    low = {"below_minutes": 0.0, "below_since": None}
    return calm(now, warns=True, p=p, **(low | changes))


def breached(now: datetime, since: datetime, **changes: Any) -> Signal:
    """The value is at the level."""
    over = {"under_minutes": 0.0, "value": 99.0}
    return warned(now, breached_at=since, **(over | changes))


@dataclass
class Timeline:
    """A fleet of one server whose episodes are stepped; `rows` are all events so far."""

    book: RuleBook = STOCK_BOOK
    servers: Sequence[ServerFacts] = (ServerFacts("a", "web_api", "fra"),)
    rows: list[dict[str, Any]] = field(default_factory=list)

    def step(
        self, now: datetime, *signals: Signal, rule: str = STOCK_RULE, **more: Any
    ) -> list[str]:
        """Step once; return the events."""
        known = {"last_seen": {facts.server: now for facts in self.servers}} | more
        inputs = Inputs(
            signals={rule: signals},
            servers={facts.server: facts for facts in self.servers},
            **known,
        )
        events = step(self.book, self.episodes(), inputs, now)
        self.rows += events
        return [event["event"] for event in events]

    def episodes(self) -> list[Episode]:
        """The newest state of each episode, as it is read of the lake."""
        return list({row["episode"]: episode_of(row) for row in self.rows}.values())

    @property
    def last(self) -> dict[str, Any]:
        return self.rows[-1]

    @property
    def phases(self) -> list[str]:
        return [row["phase"] for row in self.rows]


def mark(kind: str, ts: datetime, **target: Any) -> Mark:
    """What Ann did."""
    known = {"mark": f"{kind}-{ts:%H%M}", "made_by": "ann"}
    return Mark(ts=ts, kind=kind, **(known | target))


def phases_by_episode(rows: Iterable[dict[str, Any]]) -> dict[str, list[str]]:
    """The phases of each episode in order."""
    phases: dict[str, list[str]] = {}
    for row in rows:
        phases.setdefault(row["episode"], []).append(row["phase"])
    return phases


def predicted() -> Timeline:
    """A timeline with one warning, opened at T0."""
    line = Timeline()
    assert line.step(T0, warned(T0)) == ["opened"]
    return line
