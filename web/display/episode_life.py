"""The life of an episode: its line, its messages in words, and its forecast over what came."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from storage.model.grid import HORIZON_STEPS, QUANTILE_COLUMNS, STEP, floor_step
from storage.model.metrics import METRICS, Metric
from web.display import formatting
from web.display.charts import MEDIAN, STEP_SECONDS, Axis, Chart
from web.display.metric_display import MetricDisplay
from web.display.svg import Values

__all__ = ["BEFORE", "Station", "delivery_text", "forecast_then", "life_line"]

BEFORE = timedelta(hours=6)
_STEPS = int(BEFORE / STEP) + HORIZON_STEPS
_METRICS = {metric.name: metric for metric in METRICS}
# Events that stand on the line, and their words; the phase is the word of the others.
_WORDS = {
    "acknowledged": "acknowledged", "acting": "acting", "deploy": "deployment",
    "remediation": "remediation", "reboot": "reboot", "escalated": "escalated",
}  # fmt: skip
_TURNS = ("opened", "breached", "closed")


@dataclass(frozen=True, slots=True)
class Station:
    """One point of the line: what happened, when, and by whom."""

    text: str
    at: datetime


def life_line(
    events: Iterable[Mapping[str, Any]], deliveries: Iterable[Mapping[str, Any]]
) -> tuple[Station, ...]:
    """Return what happened in order: opened, first message, answers, breach, end."""
    line = [
        Station(_word(event), event["ts"])
        for event in events
        if event["event"] in _TURNS or event["event"] in _WORDS
    ]
    sent = min((each["sent_at"] for each in deliveries if each["sent_at"]), default=None)
    if sent is not None:
        line.append(Station("sent", sent))
    return tuple(sorted(line, key=lambda station: station.at))


def _word(event: Mapping[str, Any]) -> str:
    word = _WORDS.get(event["event"], event["phase"])
    return f"{word} ({event['made_by']})" if event["made_by"] else str(word)


def delivery_text(row: Mapping[str, Any], now: datetime) -> str:
    """Return the state of a message in words; `row` is of `web/sql/episode_deliveries.sql`."""
    newest = row["newest"]
    status = f" ({newest['status']})" if newest["status"] else ""
    detail = f": {newest['detail']}" if newest["detail"] else ""
    attempt = f"attempt {newest['attempt'] or 1}"
    match newest["outcome"]:
        case "sent":
            return f"Sent at {formatting.clock(row['sent_at'], now)}{status}"
        case "queued":
            return f"Waiting since {formatting.ago(row['queued_at'], now)}"
        case "failed":
            again = newest["next_at"]
            when = f"; again at {formatting.clock(again, now)}" if again else ""
            return f"Failed, {attempt}{status}{detail}{when}"
        case "refused":
            return f"Refused by the receiver{status}{detail}; it is not tried again"
        case outcome:
            return f"{formatting.sentence(str(outcome))}{detail}"


def forecast_then(
    metric: str,
    threshold: float | None,
    history: pa.Table,
    forecast: Sequence[Mapping[str, Any]],
    opened_at: datetime,
) -> tuple[Chart, Axis]:
    """Return the chart of one metric from 6 h before an episode opened to 8 h after it.

    `history` has the columns `ts` and `METRIC_mean`; `forecast` are rows of `web/sql/forecast.sql`,
    that of the metric among them, or none. The axis has the time of the opening as its present.
    """
    start = floor_step(opened_at) - BEFORE
    measured = _measured(history, f"{metric}_mean", start)
    row = next((r for r in forecast if r["metric"] == metric and r[MEDIAN] is not None), None)
    quantiles = {n: np.array(row[n], dtype=np.float32) for n in QUANTILE_COLUMNS} if row else {}
    issued = round((row["issued_at"] - start).total_seconds() / STEP_SECONDS) if row else None
    level = {} if threshold is None else {"critical": threshold}
    low, high = _range([measured, *quantiles.values()], threshold)
    display = _display(metric)
    chart = Chart(display, measured, quantiles, low, high, level, None, "")
    return chart, Axis(start, opened_at, issued, _STEPS)


def _display(name: str) -> MetricDisplay:
    known = _METRICS.get(name) or Metric(name, name, "", "gauge", None, None, "")
    return MetricDisplay(known, known.label, known.label)


def _measured(history: pa.Table, column: str, start: datetime) -> Values:
    values = np.full(_STEPS, np.nan, dtype=np.float32)
    if column not in history.column_names:
        return values
    seconds = history.column("ts").to_numpy().astype("datetime64[s]").astype(np.int64)
    steps = (seconds - int(start.timestamp())) // STEP_SECONDS
    inside = (steps >= 0) & (steps < _STEPS)
    values[steps[inside]] = history.column(column).to_numpy()[inside]
    return values


def _range(drawn: Sequence[Values], threshold: float | None) -> tuple[float, float]:
    """Return a range that shows all that is drawn and the level, with some room."""
    values = np.concatenate([*drawn, np.array([np.nan if threshold is None else threshold])])
    values = values[~np.isnan(values)]
    if not values.size:
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    room = 0.08 * (high - low) or 1.0
    return min(low, max(low - room, 0.0)), high + room
