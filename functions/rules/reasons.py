"""Reasons: the strongest causes of a server's scores, in words."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from functions.rules.fleet_state import (
    CPU,
    EARLIEST,
    IOWAIT,
    JUDGED,
    LIKELY,
    MEMORY,
    NAMES,
    SILENT_AFTER_S,
    SILENT_POINTS,
    ServerState,
    amount,
    label,
    value_text,
)
from storage.model.grid import LEAD_MINUTES

__all__ = ["Reason", "reasons_of"]

MAX_REASONS = 3
MIN_REASON_POINTS = 20.0  # less explains nothing
MIN_JOINT_POINTS = 3.0


@dataclass(frozen=True, slots=True)
class Reason:
    """One cause of a score, in words; `metric` is None when no metric is to blame."""

    metric: str | None
    points: float
    text: str


def reasons_of(server: ServerState) -> tuple[Reason, ...]:
    """The causes of a server's scores, strongest first, at most MAX_REASONS."""
    reasons = [*_silence(server), *_joint_reason(server), *_present_reasons(server)]
    reasons += _future_reasons(server)
    strongest = sorted(reasons, key=lambda reason: -reason.points)
    return tuple(strongest[:MAX_REASONS])


def _silence(server: ServerState) -> Iterator[Reason]:
    if not server.present.silent[server.i]:
        return
    age_s = float(server.fleet.age_s[server.i])
    if age_s != age_s:
        yield Reason(None, SILENT_POINTS, "no data yet")
    elif age_s <= SILENT_AFTER_S:
        yield Reason(None, SILENT_POINTS, "samples arrive, with no reading in them")
    else:
        since = (server.now - timedelta(seconds=age_s)).astimezone(UTC)
        yield Reason(None, SILENT_POINTS, f"no data since {since:%Y-%m-%d %H:%M} UTC")


def _joint_reason(server: ServerState) -> Iterator[Reason]:
    present, i = server.present, server.i
    if present.joint[i] < MIN_JOINT_POINTS:
        return
    parts = sorted((CPU, MEMORY, IOWAIT), key=lambda metric: -present.points[i, metric])
    high = [metric for metric in parts if present.points[i, metric] >= MIN_REASON_POINTS]
    texts = [f"{label(m)} {value_text(m, present.readings[i, m])}" for m in high]
    text = f"{', '.join(texts[:-1])} and {texts[-1]} together"
    points = min(100.0, float(present.points[i, parts[0]] + present.joint[i]))
    yield Reason(NAMES[parts[0]], points, text)


def _present_reasons(server: ServerState) -> Iterator[Reason]:
    points = server.present.points[server.i]
    for metric in np.flatnonzero(points >= MIN_REASON_POINTS):
        yield Reason(NAMES[metric], float(points[metric]), _present_text(server, int(metric)))


def _present_text(server: ServerState, metric: int) -> str:
    """`memory 96 % and climbing 4 points per hour; critical at 98 %`."""
    bands, i = server.bands, server.i
    reading, slope = server.present.readings[i, metric], server.present.slopes[i, metric]
    warn, critical = bands.warn[i, metric], bands.critical[i, metric]
    text = f"{label(metric)} {value_text(metric, reading)}"
    if slope > 0 and amount(slope) != "0":
        points = "points " if JUDGED[metric].unit == "%" else ""
        text += f" and climbing {amount(slope)} {points}per hour"
    if reading >= critical:
        return f"{text}; past critical ({value_text(metric, critical)})"
    if reading >= warn:
        return f"{text}; critical at {value_text(metric, critical)}"
    return f"{text}; warning at {value_text(metric, warn)}"


def _future_reasons(server: ServerState) -> Iterator[Reason]:
    points = server.future.points[server.i]  # [leads, judged]
    for metric in np.flatnonzero(points.max(axis=0) >= MIN_REASON_POINTS):
        lead = int(points[:, metric].argmax())
        text = _future_text(server, int(metric), lead)
        text = ": ".join([text, *server.drivers(int(metric))[:1]])
        yield Reason(NAMES[metric], float(points[lead, metric]), text)


def _future_text(server: ServerState, metric: int, lead: int) -> str:
    """`8 in 10 that memory passes 98 % within 2 h, likely around 03:40 UTC`."""
    level = value_text(metric, server.bands.critical[server.i, metric])
    odds = _odds_in_words(float(server.future.odds[server.i, lead, metric]))
    minutes = LEAD_MINUTES[lead]
    span = f"{minutes // 60} h" if minutes >= 60 else f"{minutes} min"
    if server.present.breached[server.i, metric]:
        return f"{odds} that {label(metric)} is past {level} in the next {span} too"
    text = f"{odds} that {label(metric)} passes {level} within {span}"
    likely = server.breach_at(metric, LIKELY)
    if likely:
        return f"{text}, likely around {_clock(likely)}"
    earliest = server.breach_at(metric, EARLIEST)
    return f"{text}, at the earliest around {_clock(earliest)}" if earliest else text


def _clock(ts: datetime) -> str:
    return f"{ts.astimezone(UTC):%H:%M} UTC"


def _odds_in_words(p: float) -> str:
    if p >= 0.95:
        return "almost certain"
    return f"{round(10 * p)} in 10" if p >= 0.1 else f"1 in {round(1 / p)}"
