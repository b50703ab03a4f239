"""Heat map of servers: the risk of 24 h and the odds of the 8 h ahead, or one metric of both."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from storage.model.severity import SEVERITIES, severity_of
from storage.query.reader import Reader
from web.display import formatting
from web.display.metric_display import MetricDisplay, displayed_levels
from web.display.server_status import Odds, ServerStatus
from web.display.sparklines import Series
from web.display.svg import Values
from web.lake_session import sql

__all__ = ["CLASSES", "HeatRow", "metric_heat", "read_risk_scores", "risk_heat"]

SLOTS, AHEAD_SLOTS = 48, 16  # half hours
SLOT_MINUTES = 30
CLASSES = 6
# Scores and odds from which the darker classes begin.
SCORES = tuple(sorted(s.rank for s in SEVERITIES if s.rank))[:-1]
CHANCES = (0.05, 0.25, 0.5, 0.75, 0.9)
SHARES = (0.25, 0.5, 0.75, 0.9, 1.0)  # of the critical level


@dataclass(frozen=True, slots=True)
class HeatRow:
    """A server's cells as SVG path data by class, 0 the lightest; half an hour is one unit wide."""

    server: ServerStatus
    paths: Mapping[int, str]
    text: str


def read_risk_scores(
    reader: Reader, servers: Sequence[str], now: datetime
) -> dict[str, Values]:  # fmt: skip
    """Return the highest score of each half hour by server, NaN where there is none."""
    rows = reader.query(sql("heat_risks"), start=now - timedelta(hours=24), servers=servers)
    scores = {server: np.full(SLOTS, np.nan, np.float32) for server in servers}
    for row in rows.to_pylist():
        if row["score"] is not None:
            scores[row["server"]][min(row["slot"], SLOTS - 1)] = row["score"]
    return scores


def risk_heat(server: ServerStatus, scores: Values) -> HeatRow:
    """Return the scores of the past and the odds of a breach ahead, by each half hour."""
    ahead = _chances(() if server.stale else server.odds)
    classes = np.concatenate([_classes(scores, SCORES), _classes(ahead, CHANCES)])
    return HeatRow(server, _paths(classes), _risk_text(server, scores))


def metric_heat(server: ServerStatus, display: MetricDisplay, series: Series) -> HeatRow:
    """Return one metric as a share of its critical level, or of its largest value without one."""
    ahead = np.full(AHEAD_SLOTS, np.nan, np.float32)
    if server.has_forecast and not server.stale:
        ahead[: len(series.ahead)] = series.ahead[:AHEAD_SLOTS]
    values = np.concatenate([series.past, ahead])
    values = 100 - values if display.mirrored else values
    level = displayed_levels(server.profile, server.cores).get(display.name)
    known = values[~np.isnan(values)]
    top = level.critical if level else float(known.max(initial=0.0)) or 1.0
    text = "no values"
    if len(known):
        low, high = (formatting.reading(float(v), display.unit) for v in (known.min(), known.max()))
        text = f"{display.label} {low} to {high}"
    return HeatRow(server, _paths(_classes((values / top).astype(np.float32), SHARES)), text)


def _chances(odds: Iterable[Odds]) -> Values:
    """The chance of a breach by the end of each half hour: that of the next lead that is known."""
    ends = [SLOT_MINUTES * (slot + 1) for slot in range(AHEAD_SLOTS)]
    known = [(each.minutes, each.chance) for each in odds if each.chance is not None]
    chances = [next((p for minutes, p in known if minutes >= end), np.nan) for end in ends]
    return np.array(chances, np.float32)


def _classes(values: Values, bounds: Sequence[float]) -> Values:
    """The class of each value; NaN stays."""
    return np.where(np.isnan(values), np.nan, np.digitize(values, bounds)).astype(np.float32)


def _paths(classes: Values) -> dict[int, str]:
    """The cells of each class, those side by side as one."""
    paths: dict[int, str] = {}
    first = 0
    for slot in range(1, len(classes) + 1):
        if slot < len(classes) and classes[slot] == classes[first]:
            continue
        if not np.isnan(classes[first]):
            own = int(classes[first])
            paths[own] = f"{paths.get(own, '')}M{first} 0H{slot}V1H{first}Z"
        first = slot
    return dict(sorted(paths.items()))


def _risk_text(server: ServerStatus, scores: Values) -> str:
    if np.isnan(scores).all():
        return f"now {server.health.name}"
    worst = int(np.nanargmax(scores))
    at = server.now - timedelta(minutes=SLOT_MINUTES * (SLOTS - worst))
    name = severity_of(float(scores[worst])).name
    return f"now {server.health.name}; worst {name} from {formatting.clock_minutes(at, server.now)}"
