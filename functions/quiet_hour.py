"""Quiet hour: when a server can be rebooted with the least harm within the next 8 hours."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa

from functions.engine.function import Batch, function
from functions.engine.triggers import request
from functions.engine.window import Window
from functions.normalize.strict_toml import SourceInvalid, decode_strict
from functions.rules.alerts.words import period
from functions.rules.quiet_hours import Outlook, QuietHour, Start, best_start, outlook
from storage.model.grid import CONTEXT_STEPS, HORIZON_STEPS, LEAD_MINUTES, QUANTILES, STEP
from storage.model.metrics import METRIC_NAMES
from storage.model.names import is_name
from storage.model.periods import parse_period
from storage.query.forecast_rows import forecast_rows

__all__ = ["quiet_hour"]

HORIZON: Final = HORIZON_STEPS * STEP
# A forecast or odds that were issued longer ago than this say nothing about now.
GOOD_FOR: Final = timedelta(hours=1)


class QuietRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which server is to be away for how long, and within which time it has to begin."""

    server: str
    lasts: str = "20m"
    within: str = "8h"

    def __post_init__(self) -> None:
        for name in ("lasts", "within"):
            if parse_period(getattr(self, name)) > HORIZON:
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}, expected 8h at most: that is how far "
                    "forecasts reach"
                )


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of the server: its outlook from `issued_at` on."""

    issued_at: datetime
    ahead: Outlook


@function(on=request(), writes=())
def quiet_hour(window: Window, body: Any) -> Batch:
    """Say when a server can be away with the least harm; `body` has server, lasts and within.

    The answer has `wait` (None: not known), the best start and that of now, and all in words.
    """
    try:
        wanted = _decoded(body)
    except SourceInvalid as error:
        return Batch(refused=1, reasons=(str(error),))
    known = _known(window, wanted.server)
    if isinstance(known, str):
        return Batch(answer={"server": wanted.server, "wait": None, "text": f"Not known: {known}."})
    lasts, within = parse_period(wanted.lasts), parse_period(wanted.within)
    first = (window.now - known.issued_at) // STEP
    steps = -(-lasts // STEP)
    try:
        hour = best_start(known.ahead, first, steps, within // STEP)
    except ValueError:
        text = f"Not known: {period(lasts)} from now is further than the forecast reaches."
        return Batch(answer={"server": wanted.server, "wait": None, "text": text})
    return Batch(answer=_answer(window.now, wanted, known, hour))


def _decoded(body: Any) -> QuietRequest:
    if not isinstance(body, dict):
        raise SourceInvalid(
            f"{body!r} is not a request (expected an object such as "
            '{"server": "web-1", "lasts": "20m", "within": "8h"})'
        )
    wanted: QuietRequest = decode_strict(body, QuietRequest)
    return wanted


def _known(window: Window, server: str) -> _Known | str:
    """Return what is known of a server, or why that is not enough."""
    rows = _forecasts(window, server) if is_name(server) else None
    if rows is None or not rows.num_rows:
        return f"{server} has no forecast of the last hour"
    issued_at = rows["issued_at"][0].as_py()
    context = window.contexts(issued_at, CONTEXT_STEPS, [server])
    readings = context.values[0] if context.servers else np.full((1, len(METRIC_NAMES)), np.nan)
    ahead = outlook(readings.astype(np.float32), _quantiles(rows), _odds(window, server))
    if ahead is None:
        why = next((w for w in rows["why"].to_pylist() if w), "no forecast of them is served")
        return f"nothing is known ahead of its traffic, load and CPU ({why})"
    return _Known(issued_at, ahead)


def _forecasts(window: Window, server: str) -> pa.Table:
    return window.sql(
        "SELECT * FROM forecasts WHERE server = $server AND issued_at > $oldest "
        "AND issued_at <= $now QUALIFY issued_at = max(issued_at) OVER ()",
        server=server, oldest=window.now - GOOD_FOR, now=window.now,
    )  # fmt: skip


def _quantiles(rows: pa.Table) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return what is served of each metric [96, 14, 7]; NaN where nothing is."""
    result = np.full((HORIZON_STEPS, len(METRIC_NAMES), len(QUANTILES)), np.nan, np.float32)
    named = zip(rows["metric"].to_pylist(), rows["state"].to_pylist(), strict=True)
    for (metric, state), values in zip(named, forecast_rows(rows).served(), strict=True):
        if metric in METRIC_NAMES and state != "abstained":
            result[:, METRIC_NAMES.index(metric)] = values
    return result


def _odds(window: Window, server: str) -> tuple[float | None, ...]:
    """Return the newest odds that any critical level is passed within each of LEAD_MINUTES."""
    columns = ", ".join(f"p_breach_{lead}m" for lead in LEAD_MINUTES)
    rows = window.sql(
        f"SELECT {columns} FROM risks WHERE server = $server AND issued_at > $oldest "
        "AND issued_at <= $now ORDER BY issued_at DESC LIMIT 1",
        server=server, oldest=window.now - GOOD_FOR, now=window.now,
    ).to_pylist()  # fmt: skip
    return tuple(rows[0].values()) if rows else (None,) * len(LEAD_MINUTES)


def _answer(now: datetime, wanted: QuietRequest, known: _Known, hour: QuietHour) -> dict[str, Any]:
    chosen = hour.best if hour.wait else hour.now
    starts_at = max(now, known.issued_at + chosen.step * STEP)
    return {
        "server": wanted.server, "wait": hour.wait, "starts_at": starts_at.isoformat(),
        "ends_at": (starts_at + parse_period(wanted.lasts)).isoformat(),
        "sure": round(hour.sure, 3), "best": _start(hour.best), "now": _start(hour.now),
        "text": _text(now, starts_at, wanted, hour),
    }  # fmt: skip


def _start(start: Start) -> dict[str, Any]:
    """Return what is expected of a start: use as a share of the usual, and the odds."""
    breach = None if start.breach is None else round(start.breach, 4)
    return {
        "use": round(start.use, 3), "low": round(start.low, 3), "high": round(start.high, 3),
        "breach": breach,
    }  # fmt: skip


def _text(now: datetime, starts_at: datetime, wanted: QuietRequest, hour: QuietHour) -> str:
    lasts, within = period(parse_period(wanted.lasts)), period(parse_period(wanted.within))
    best, current = hour.best, hour.now
    if not hour.wait:
        return (
            f"Now is as good as any time within {within}: for the next {lasts} it is used at "
            f"{_use(current)}. {_odds_text(current)}"
        )
    return (
        f"Wait until {starts_at:%H:%M} UTC (in {period(starts_at - now)}): then it is used for "
        f"{lasts} at {_use(best)}; now at {100 * current.use:.0f} %. "
        f"It is {100 * min(hour.sure, 0.99):.0f} % sure that it is used less then. "
        f"{_odds_text(best)}"
    )


def _use(start: Start) -> str:
    band = f"{100 * start.low:.0f} to {100 * start.high:.0f} % in 80 % of cases"
    return f"{100 * start.use:.0f} % of its usual ({band})"


def _odds_text(start: Start) -> str:
    if start.breach is None:
        return "The chance of a breach before it ends is not known."
    return f"Chance of a breach before it ends: {100 * start.breach:.0f} %."
