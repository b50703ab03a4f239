"""What the page of a server shows, read from one snapshot of the lake."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from litestar.exceptions import NotFoundException

from storage.config.settings import schema_of
from storage.errors import HoursightError
from storage.model.grid import HORIZON_STEPS, QUANTILE_COLUMNS, STEP, floor_step
from storage.model.metrics import METRIC_NAMES
from storage.model.names import erased_name, is_name
from storage.model.schema import table
from storage.query.forecast_rows import forecast_rows
from storage.query.reader import Reader
from web.display import charts
from web.display.charts import ServerCharts
from web.display.loading import with_loading
from web.display.metric_display import display_of, displayed_levels, displays_with_own
from web.display.recommendations import next_step, worst_metric
from web.display.server_odds import MetricOdds, OddsRecord, metric_odds, odds_record
from web.display.server_status import ServerStatus, server_status
from web.display.server_trust import ServerTrust, server_trust
from web.display.spans import Span
from web.display.system_status import SystemStatus, system_status
from web.kept_results import KeptResults
from web.lake_session import LakeSession, sql

__all__ = [
    "SAID",
    "Episode",
    "ServerNotFound",
    "ServerView",
    "facts_of",
    "known_server",
    "read_server",
]

NOW = timedelta(0)
# How long ago the forecasts were made that can be drawn over what happened.
SAID = {f"{hours}h": timedelta(hours=hours) for hours in (1, 2, 4, 8)}
HORIZON = HORIZON_STEPS * STEP
MAX_SUGGESTIONS = 8
MAX_EPISODES = 10
# The tables on whose changes the result of each query depends.
_KEPT = {
    "server": ["server_facts", "deletions"], "server_samples": ["metrics"],
    "server_steps": ["metrics_5m"], "history": ["metrics_5m"], "history_wide": ["metrics_5m"],
    "server_risk": ["risks"], "server_forecasts": ["forecasts"], "server_odds": ["odds"],
    "odds_record": ["odds_models"], "server_episodes": ["alert_events"],
    "server_skill": ["scores"],
}  # fmt: skip
_RISK = [name for name in table("risks").names if name not in ("server", "issued_at")]


class ServerNotFound(HoursightError, NotFoundException):
    """No server has that name; `similar` are server names close to it."""

    def __init__(self, server: str, similar: list[str], system: SystemStatus) -> None:
        self.server, self.similar, self.system = server, similar, system
        hint = f"; did you mean {', '.join(similar)}?" if similar else ""
        super().__init__(f"server {server!r} not found{hint}")


@dataclass(frozen=True, slots=True)
class Episode:
    """An alert episode of the server; `ended_at` is None while it is open."""

    episode: str
    metric: str | None
    rule: str | None
    phase: str
    severity: str | None
    opened_at: datetime
    breached_at: datetime | None
    ended_at: datetime | None
    answered_by: str | None
    why: str | None
    reasons: Sequence[str] | None

    @property
    def label(self) -> str:
        """The metric as displayed; an episode without one is about missing data."""
        if self.metric is None:
            return "No data"
        return display_of(self.metric).label if self.metric in METRIC_NAMES else self.metric


@dataclass(frozen=True, slots=True)
class ServerView:
    """Data of the server page; `deleted_at` is set if it was deleted and has sent again since.

    `episodes` are the newest, open ones first; `more_episodes` says that there are others.
    """

    system: SystemStatus
    server: ServerStatus
    charts: ServerCharts
    next_step: str
    worst: str | None
    deleted_at: datetime | None
    odds: Sequence[MetricOdds]
    odds_record: OddsRecord
    trust: ServerTrust
    episodes: Sequence[Episode]
    more_episodes: bool
    said_at: datetime | None  # when the forecast was issued that is drawn over what happened
    source: str | None  # the function that its newest samples come from

    @property
    def open_episodes(self) -> list[Episode]:
        """The episodes that have not ended."""
        return [each for each in self.episodes if each.ended_at is None]


def read_server(
    lake: LakeSession, name: str, now: datetime, span: Span, said: str = "",
    what_if: Sequence[Mapping[str, Any]] = (),
) -> ServerView:  # fmt: skip
    """Return one server as of `now` from one snapshot; raise ServerNotFound if it is unknown.

    Charts show `span`; over them is the forecast made `said` ago, one of SAID, and `what_if`, rows
    of a forecast.
    """
    with lake.snapshot() as reader:
        system = system_status(reader, lake.folders, now, lake.kept)
        facts = known_server(reader, name, now, system, lake.kept)
        return _Reading(reader, lake.kept, facts, now).view(system, span, said, what_if)


def facts_of(
    reader: Reader, name: str, now: datetime, kept: KeptResults
) -> Mapping[str, Any] | None:
    """Return the facts of a server; None if there is none of that name."""
    # No table has an invalid name, and a NUL in a filter makes DuckLake's own query fail.
    if not is_name(name):
        return None
    rows: list[dict[str, Any]] = kept.read(
        reader, f"server {name}", _KEPT["server"], now,
        lambda: reader.query(
            sql("server"), server=name, erased=erased_name(name), now=now
        ).to_pylist(),
    )  # fmt: skip
    return rows[0] if rows else None


def known_server(
    reader: Reader, name: str, now: datetime, system: SystemStatus, kept: KeptResults
) -> Mapping[str, Any]:
    """Return the facts of a server; raise ServerNotFound."""
    facts = facts_of(reader, name, now, kept)
    if facts is None:
        names = reader.query(sql("server_names"), now=now).column("server").to_pylist()
        raise ServerNotFound(name, _similar(name, names), system)
    return facts


def _similar(name: str, names: list[str]) -> list[str]:
    close = get_close_matches(name, names, n=MAX_SUGGESTIONS, cutoff=0.5)
    containing = [each for each in names if name.lower() in each.lower()]
    return list(dict.fromkeys([*close, *containing]))[:MAX_SUGGESTIONS]


class _Reading:
    """Reads one server from a pinned reader: each table once."""

    def __init__(
        self, reader: Reader, kept: KeptResults, facts: Mapping[str, Any], now: datetime
    ) -> None:
        self._reader, self._kept, self._facts, self._now = reader, kept, facts, now
        self._displays = displays_with_own(schema_of(reader.folders).metrics)

    def view(
        self, system: SystemStatus, span: Span, said: str, what_if: Sequence[Mapping[str, Any]]
    ) -> ServerView:
        """Return all that the page shows."""
        samples = self._rows("server_samples")[0]
        made = self._table("server_forecasts", said=floor_step(self._now) - SAID.get(said, NOW))
        issues = sorted(set(made["issued_at"].to_pylist()))
        newest = _issued(made, issues[-1]) if issues else made
        server = self._status(samples, newest.to_pylist())
        server = server.without_forecast() if system.model_refused else server
        trust = self._trust(newest.to_pylist())
        said_at = (
            issues[0]
            if said and issues and floor_step(self._now) - issues[0] >= SAID[said]
            else None
        )
        over: dict[str, Sequence[Mapping[str, Any]]] = {"what-if": what_if} if what_if else {}
        if said_at:
            over["said"] = _served(_issued(made, said_at))
        drawn = self._charts(span, server, samples, newest, over)
        episodes = [Episode(**row) for row in self._rows("server_episodes")]
        return ServerView(
            system, server, drawn, next_step(server), worst_metric(server),
            self._facts["deleted_at"], metric_odds(self._rows("server_odds")),
            odds_record(self._table("odds_record", server="").to_pylist()), trust,
            episodes[:MAX_EPISODES], len(episodes) > MAX_EPISODES, said_at, samples["source"],
        )  # fmt: skip

    def _rows(self, name: str, **parameters: Any) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self._table(name, **parameters).to_pylist()
        return rows

    def _table(self, name: str, **parameters: Any) -> pa.Table:
        given = {"server": self._facts["server"], "now": self._now} | parameters
        named = {key: value for key, value in given.items() if f"${key}" in sql(name)}
        return self._kept.read(
            self._reader, f"{name} {named.get('server')}", _KEPT[name], self._now,
            lambda: self._reader.query(sql(name), **named), tuple(parameters.items()),
        )  # fmt: skip

    def _status(
        self, samples: Mapping[str, Any], forecasts: Sequence[Mapping[str, Any]]
    ) -> ServerStatus:
        steps = self._rows("server_steps")[0]
        risk = next(iter(self._rows("server_risk")), {})
        row = {
            **self._facts, **{name: risk.get(name) for name in _RISK},
            "risk_at": risk.get("issued_at"), "context_steps": steps["context_steps"],
            "last_seen": samples["last_seen"] or steps["last_step"], **_forecast_state(forecasts),
        }  # fmt: skip
        (server,) = with_loading([server_status(row, self._now)], self._reader, self._now)
        return server

    def _trust(self, forecasts: Sequence[Mapping[str, Any]]) -> ServerTrust:
        model = next((row["model"] for row in forecasts if row["model"]), None)
        scores = self._rows("server_skill", model=model) if model else []
        return server_trust(self._displays, forecasts, scores)

    def _charts(
        self, span: Span, server: ServerStatus, samples: Mapping[str, Any], newest: pa.Table,
        over: Mapping[str, Sequence[Mapping[str, Any]]],
    ) -> ServerCharts:  # fmt: skip
        history = self._table(
            "history_wide" if span.is_wide else "history", start=span.start, stop=span.stop,
            seconds=int(span.step.total_seconds()),
        )  # fmt: skip
        current = server.has_forecast and server.forecast_at is not None
        ahead = current and self._now - (server.forecast_at or self._now) <= HORIZON
        drawn = charts.server_charts(
            history, _served(newest) if ahead else [], samples, self._levels(server), self._now,
            span=span, displays=self._displays, overlays=over,
        )  # fmt: skip
        if server.respond_within_minutes is None:
            return drawn
        return drawn.with_first(worst_metric(server))

    def _levels(self, server: ServerStatus) -> dict[str, Any]:
        own = {d.name: d.metric.levels for d in self._displays if d.name not in METRIC_NAMES}
        known = {name: levels for name, levels in own.items() if levels is not None}
        return displayed_levels(server.profile, server.cores) | known


def _issued(made: pa.Table, at: datetime) -> pa.Table:
    return made.filter(pc.equal(made["issued_at"], pa.scalar(at, made["issued_at"].type)))


def _forecast_state(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return when the forecast was issued, the best of its states, and the commonest reason."""
    states = {row["state"] for row in rows}
    whys = Counter(row["why"] for row in rows if row["state"] != "ok" and row["why"])
    return {
        "forecast_at": rows[0]["issued_at"] if rows else None,
        "forecast_state": next((s for s in ("ok", "early", "abstained") if s in states), None),
        "forecast_why": whys.most_common(1)[0][0] if whys else None,
    }


def _served(rows: pa.Table) -> list[dict[str, Any]]:
    """Return the quantiles as they were served, a row for each metric that has a forecast."""
    rows = rows.filter(pc.and_(pc.is_valid(rows["p50"]), pc.not_equal(rows["state"], "abstained")))
    served = forecast_rows(rows).served()
    named = zip(rows["metric"].to_pylist(), rows["issued_at"].to_pylist(), served, strict=True)
    return [
        {"metric": metric, "issued_at": at} | dict(zip(QUANTILE_COLUMNS, values.T, strict=True))
        for metric, at, values in named
    ]
