"""Drift: whether forecasts have become worse than in a reference week, and what has changed."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from functions.engine.function import Batch, function
from functions.engine.triggers import every, rows
from functions.engine.window import Window
from functions.rules.drift.loss_check import (
    HISTORY_HOURS,
    LossCheck,
    ServerLosses,
    check_losses,
    next_count,
)
from functions.rules.drift.shift_measures import combined, shifts
from functions.rules.drift.wording import fleet_sentence, server_sentence
from storage.model.metrics import METRIC_NAMES, METRICS
from storage.model.schema import table

HOUR = timedelta(hours=1)
DAY = timedelta(hours=24)
# Scores of an hour are written within minutes of its end, those of a large fleet in several runs.
SETTLED_AFTER = timedelta(minutes=20)
# While earlier hours are caught up with, what is shown of the readings is left out.
SHOWN_WITHIN = timedelta(hours=3)
SHIFT_DAYS = 8
SLOTS = 48  # of half an hour, each the 5-minute mean at its start
SERVERS_AT_ONCE = 250
LEAST_SERVERS = 5  # of a profile: the median of fewer is that of an incident

# A counter has other values each day.
SHIFTING = tuple(metric.name for metric in METRICS if metric.kind != "counter")

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Losses:
    """Mean losses [S, H, M] by server, hour and metric; the last hour starts at `hour`."""

    servers: list[str]
    values: Floats
    hour: datetime
    model: str


@dataclass(frozen=True, slots=True)
class _Shown:
    """What is shown of S servers, each [S], NaN where unknown; `moved` names a metric each."""

    error: Floats
    distribution: Floats
    feature: Floats
    anomaly: Floats
    moved: list[str | None]

    def of(self, members: npt.NDArray[np.bool_]) -> dict[str, float | None]:
        """Return the medians over some servers, as columns of `drift`."""
        parts = [
            _median(values[members])
            for values in (self.error, self.distribution, self.feature, self.anomaly)
        ]
        names = ("prediction_error", "distribution_shift", "feature_drift", "anomaly_rate")
        return _known(dict(zip((*names, "combined"), (*parts, combined(*parts)), strict=True)))


@function(on=(rows("scores"), every("10m")), writes="drift")
def drift(window: Window) -> Batch:
    """Compare the loss of the last 12 hours with the reference week, by server, profile, fleet."""
    hour, more = _next_hour(window)
    if hour is None:
        return Batch()
    losses = _losses(window, hour)
    ts = hour + HOUR
    shown = _shown(window, losses) if window.now - ts <= SHOWN_WITHIN else None
    first_hour = int(hour.timestamp()) // 3600 - losses.values.shape[1] + 1
    checked = check_losses(losses.values, first_hour)
    made = [
        {"ts": ts, "model": losses.model} | row
        for row in _rows(losses, checked, shown, _profiles(window, losses), _counts(window, ts))
    ]
    return Batch(
        {"drift": pa.Table.from_pylist(made, table("drift").arrow)},
        window_key=ts.isoformat(), model=losses.model, more=more,
    )  # fmt: skip


def _next_hour(window: Window) -> tuple[datetime | None, bool]:
    """Return the oldest hour with scores that was not checked, and whether there are later ones."""
    settled = window.now - SETTLED_AFTER - HOUR
    checked = window.sql(
        "SELECT max(ts) AS ts FROM drift WHERE scope = 'fleet' AND ts > $oldest AND ts <= $now",
        oldest=window.now - HISTORY_HOURS * HOUR, now=window.now,
    )["ts"][0].as_py()  # fmt: skip
    since = checked or window.now - HISTORY_HOURS * HOUR
    span = window.sql(
        "SELECT min(ts) AS first, max(ts) AS last FROM scores "
        "WHERE ts >= $since AND ts <= $settled AND targets > 0",
        since=since, settled=settled,
    ).to_pylist()[0]  # fmt: skip
    return span["first"], span["first"] != span["last"]


def _losses(window: Window, hour: datetime) -> _Losses:
    """Return the losses of `hour` from the scores, after those of the hours before it."""
    scored = window.sql(
        "SELECT server, metric, sum(loss_model) / sum(targets) AS loss, "
        "arg_max(model, targets) AS model FROM scores "
        "WHERE ts = $hour AND targets > 0 GROUP BY server, metric",
        hour=hour,
    )
    before = window.sql(
        "SELECT name, ts, losses FROM drift WHERE scope = 'server' AND losses IS NOT NULL "
        "AND ts > $first AND ts <= $hour",
        first=hour - (HISTORY_HOURS - 1) * HOUR, hour=hour,
    )  # fmt: skip
    servers = sorted({*scored["server"].unique().to_pylist(), *before["name"].unique().to_pylist()})
    hours = _hours_back(before, hour)
    values = np.full((len(servers), hours.max(initial=0) + 1, len(METRIC_NAMES)), np.nan)
    if before.num_rows:
        values[_places(servers, before["name"]), -1 - hours] = _lists(before["losses"])
    scored = scored.filter(pc.is_in(scored["metric"], pa.array(METRIC_NAMES, pa.string())))
    metrics = _places(METRIC_NAMES, scored["metric"])
    values[_places(servers, scored["server"]), -1, metrics] = scored["loss"].to_numpy()
    models = scored["model"].to_pylist()
    return _Losses(servers, values, hour, max(set(models), key=models.count) if models else "")


def _hours_back(before: pa.Table, hour: datetime) -> npt.NDArray[np.int64]:
    """Return how many hours before `hour` each row's own hour is, which ends at its `ts`."""
    seconds = before["ts"].cast(pa.timestamp("s", "UTC")).to_numpy().astype(np.int64)
    return np.asarray((int((hour + HOUR).timestamp()) - seconds) // 3600, np.int64)


def _lists(column: pa.ChunkedArray) -> Floats:
    """Return lists of a number for each metric as [rows, 14]; NaN where one is NULL."""
    flat = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat, np.float64).reshape(-1, len(METRIC_NAMES))


def _places(names: Sequence[str], column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    places = pc.index_in(column, pa.array(names, pa.string()))
    return np.asarray(places.to_numpy(), np.int64)


def _profiles(window: Window, losses: _Losses) -> npt.NDArray[np.str_]:
    known = window.sql("SELECT server, profile FROM servers").to_pylist()
    profile = {row["server"]: row["profile"] or "generic" for row in known}
    return np.array([profile.get(name, "generic") for name in losses.servers], np.str_)


def _counts(window: Window, ts: datetime) -> dict[tuple[str, str], int]:
    """Return by scope and name the checks in a row over the limit before `ts`."""
    rows = window.sql(
        "SELECT scope, name, arg_max(over_limit, ts) AS count FROM drift "
        "WHERE ts >= $since AND ts < $ts GROUP BY scope, name",
        since=ts - 6 * HOUR, ts=ts,
    ).to_pylist()  # fmt: skip
    return {(row["scope"], row["name"]): row["count"] or 0 for row in rows}


def _rows(
    losses: _Losses,
    checked: ServerLosses | None,
    shown: _Shown | None,
    profiles: npt.NDArray[np.str_],
    counts: dict[tuple[str, str], int],
) -> Iterator[dict[str, Any]]:
    """Return the rows of the fleet, of its profiles and of the servers with scores this hour."""
    groups = [("fleet", "fleet", np.ones(len(profiles), np.bool_))]
    groups += [("profile", str(name), profiles == name) for name in np.unique(profiles)]
    for scope, name, members in groups:
        if scope == "fleet" or members.sum() >= LEAST_SERVERS:
            check = checked.group(members) if checked else _UNKNOWN
            columns: dict[str, Any] = shown.of(members) if shown else {}
            columns |= {"why": fleet_sentence(check, int(members.sum()))}
            yield _row(scope, name, check, counts) | columns
    for place, name in enumerate(losses.servers):
        lost = losses.values[place, -1]
        if np.isfinite(lost).any():
            check = checked.server(place) if checked else _UNKNOWN
            columns = shown.of(np.arange(len(profiles)) == place) if shown else {}
            distance = float(shown.distribution[place]) if shown else math.nan
            moved = shown.moved[place] if shown else None
            columns |= {"why": server_sentence(check, distance, moved)}
            columns |= {"losses": [None if np.isnan(v) else v for v in lost.tolist()]}
            yield _row("server", name, check, counts) | columns


_UNKNOWN = LossCheck(float("nan"), float("nan"))


def _row(
    scope: str, name: str, check: LossCheck, counts: dict[tuple[str, str], int]
) -> dict[str, Any]:
    count, drifting = next_count(counts.get((scope, name), 0), check)
    parts = {"log_loss_ratio": check.ratio, "lower_bound": check.lower}
    named = {"scope": scope, "name": name, "over_limit": count, "drifting": drifting}
    return named | _known(parts)


def _shown(window: Window, losses: _Losses) -> _Shown:
    """Return the measures of the 24 h up to the end of the hour."""
    stop = losses.hour + HOUR
    error, anomaly = _errors(window, losses.servers, stop)
    distribution, feature, moved = _all_shifts(window, losses.servers, stop)
    return _Shown(error, distribution, feature, anomaly, moved)


def _errors(window: Window, servers: list[str], stop: datetime) -> tuple[Floats, Floats]:
    """Return by server the mean error / scale, and the share of targets outside the 96 % band."""
    rows = window.sql(
        "SELECT server, avg(error) AS error, "
        "1 - sum(inside) / nullif(sum(moving), 0) AS anomaly FROM ("
        "SELECT server, metric, sum(error) / sum(targets) / max(scale) AS error, "
        "sum(inside_96) AS inside, sum(moving) AS moving FROM scores "
        "WHERE ts >= $start AND ts < $stop AND targets > 0 AND scale > 0 GROUP BY server, metric"
        ") GROUP BY server",
        start=stop - DAY, stop=stop,
    )  # fmt: skip
    made = np.full((2, len(servers)), np.nan)
    known = {name: place for place, name in enumerate(servers)}
    for row in rows.to_pylist():
        if row["server"] in known:
            made[:, known[row["server"]]] = [_nan(row["error"]), _nan(row["anomaly"])]
    return made[0], made[1]


def _all_shifts(
    window: Window, servers: list[str], stop: datetime
) -> tuple[Floats, Floats, list[str | None]]:
    """Return by server the medians over metrics of both shifts, and the metric of the largest KS.

    The median: a disk that fills has other values each day.
    """
    medians = np.full((2, len(servers)), np.nan)
    moved: list[str | None] = []
    slots = [stop - n * (DAY / SLOTS) for n in range(SHIFT_DAYS * SLOTS, 0, -1)]
    weekend = np.array([ts.weekday() >= 5 for ts in slots]).reshape(SHIFT_DAYS, SLOTS)
    for first in range(0, len(servers), SERVERS_AT_ONCE):
        part = servers[first : first + SERVERS_AT_ONCE]
        made = shifts(_readings(window, part, stop), weekend)
        for place, (distances, means) in enumerate(zip(made.distribution, made.mean, strict=True)):
            medians[:, first + place] = _median(distances), _median(means)
            known = np.isfinite(distances)
            most = int(np.argmax(np.where(known, distances, -1)))
            moved.append(SHIFTING[most] if known.any() else None)
    return medians[0], medians[1], moved


def _readings(window: Window, servers: list[str], stop: datetime) -> Floats:
    """Return the 5-minute mean at the start of each half hour [S, days, slots, SHIFTING]."""
    columns = ", ".join(f"{name}_mean" for name in SHIFTING)
    start = stop - SHIFT_DAYS * DAY
    rows = window.sql(
        f"SELECT server, ts, {columns} FROM metrics_5m "
        "WHERE ts >= $start AND ts < $stop AND server >= $first AND server <= $last "
        "AND epoch(ts) % 1800 = 0",
        start=start, stop=stop, first=servers[0], last=servers[-1],
    )  # fmt: skip
    rows = rows.filter(pc.is_in(rows["server"], pa.array(servers, pa.string())))
    values = np.full((len(servers), SHIFT_DAYS * SLOTS, len(SHIFTING)), np.nan)
    seconds = rows["ts"].cast(pa.timestamp("s", "UTC")).to_numpy().astype(np.int64)
    slot = (seconds - int(start.timestamp())) // 1800
    place = _places(servers, rows["server"])
    for i, name in enumerate(SHIFTING):
        values[place, slot, i] = rows[f"{name}_mean"].to_numpy()
    return values.reshape(len(servers), SHIFT_DAYS, SLOTS, len(SHIFTING))


def _known(columns: dict[str, float]) -> dict[str, float | None]:
    return {name: None if np.isnan(value) else value for name, value in columns.items()}


def _nan(value: float | None) -> float:
    return float("nan") if value is None else value


def _median(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else float("nan")
