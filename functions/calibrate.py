"""Calibration: how forecasts are corrected and blended, learned each hour from their scores."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from functions.engine.function import Batch, function
from functions.engine.triggers import every, rows
from functions.engine.window import Window
from functions.rules.defaults import ABSOLUTE_DISTANCE
from functions.rules.serving import race
from functions.rules.serving.abstention import no_skill_reason, skill, without_skill
from functions.rules.serving.calibration import (
    SHAPE,
    HourCounts,
    band_ratios,
    due_for_preset,
    factors_of_ratios,
    preset,
    updated,
)
from functions.rules.serving.state_rows import (
    NamedRace,
    calibration_rows,
    places,
    race_rows,
)
from functions.serving_state import profiles_of, read_calibration, read_race
from storage.model.grid import BAND_LEVELS, BUCKET_MINUTES, HORIZON_STEPS, QUANTILE_COLUMNS, STEP
from storage.model.metrics import METRIC_NAMES
from storage.model.served import BUCKET_OF_STEP
from storage.query.forecast_rows import RECIPE_COLUMNS, forecast_rows

HOUR = timedelta(hours=1)
SINCE = timedelta(days=2)  # forecasts, and so their late scores, are not kept for longer
# Scores of a fleet come in portions: an hour is complete when nearly all servers have some, or when
# this time has passed.
COMPLETE_SHARE = 0.95
LONGEST_WAIT = timedelta(minutes=30)

MAX_SERVERS = 256  # whose race is run at once
BANDS_EACH_HOURS = 6  # how often the bands of the naive forecasts are measured again
SKILL_SPAN = timedelta(days=7)

# The preset looks at so many servers, and at forecasts of each second hour.
PRESET_SERVERS = 64
PRESET_EACH = timedelta(hours=2)
PRESET_SPAN = timedelta(hours=24) + HORIZON_STEPS * STEP
EACH_STEP = 3

_UPTIME = METRIC_NAMES.index("uptime_days")
_SKILL_COLUMNS = ("hours", "targets", "loss", "last", "seasonal", "scale")
_LOSSES = ("loss_calibrated", "loss_context", "loss_seasonal_band", "loss_last_band")

Floats = npt.NDArray[np.floating[Any]]


class Position(msgspec.Struct, frozen=True):
    """An hour of a model whose race is still to be run for the servers after `after`."""

    model: str
    hour: datetime
    after: str


@dataclass(frozen=True, slots=True)
class HourScores:
    """Scores of one hour and model: n servers, dense, 0 or NaN where there are none."""

    servers: tuple[str, ...]
    counts: HourCounts
    losses: Floats  # [n, 14, 3, 4] means


@function(on=(rows("scores"), rows("race"), every("5m")), writes=("calibration", "race"))
def calibrate(window: Window, cursor: str | None) -> Batch:
    """Correct the widths of the bands and the weights of the forecasts by the scores of an hour.

    It reads the state after the hour before and writes that after this one; a model that was never
    scored starts without one.
    """
    position = msgspec.json.decode(cursor, type=Position) if cursor else None
    if position is None or not position.after:
        position = _next_hour(window)
    if position is None:
        return Batch()
    scores = read_scores(window, position.model, position.hour)
    tables: dict[str, pa.Table] = {}
    if not position.after:
        tables["calibration"] = calibrated(window, position.model, position.hour, scores)
    left = _to_race(window, position, scores)
    servers, more = left[:MAX_SERVERS], len(left) > MAX_SERVERS
    if servers:
        tables["race"] = raced(window, position.model, position.hour, servers, scores)
    after = servers[-1] if more else ""
    return Batch(
        tables, window_key=position.hour.isoformat(), model=position.model, more=more,
        cursor=msgspec.json.encode(msgspec.structs.replace(position, after=after)).decode(),
    )  # fmt: skip


def _next_hour(window: Window) -> Position | None:
    """Return the oldest hour that is complete and not in the state of its model."""
    due = window.reader.named(
        "windows/hour_to_calibrate", since=window.now - SINCE, now=window.now
    ).to_pylist()
    if not due:
        return None
    model, hour = due[0]["model"], due[0]["hour"].astimezone(UTC)
    if window.now < hour + HOUR + LONGEST_WAIT:
        counts = window.reader.named(
            "windows/scored_servers", hour=hour, stop=hour + HOUR
        ).to_pylist()[0]
        if counts["scored"] < COMPLETE_SHARE * counts["sampled"]:
            return None
    return Position(model, hour, "")


def read_scores(window: Window, model: str, hour: datetime) -> HourScores:
    """Return the scores of one hour as arrays."""
    table = window.reader.named("windows/scores_of_hour", model=model, hour=hour)
    table = table.filter(pc.is_in(table["metric"], pa.array(METRIC_NAMES)))
    names = sorted(set(table["server"].to_pylist()))
    at = (
        places(names, table["server"].to_pylist()),
        places(METRIC_NAMES, table["metric"].to_pylist()),
        places([str(m) for m in BUCKET_MINUTES], [str(m) for m in table["bucket"].to_pylist()]),
    )
    shape = len(names), *SHAPE[:2]
    moving, inside = np.zeros(shape), np.zeros((*shape, SHAPE[2]))
    losses = np.full((*shape, len(_LOSSES)), np.nan)
    moving[at] = _floats(table["moving"], 0)
    inside[at] = np.stack([_floats(table[f"inside_{n}"], 0) for n in BAND_LEVELS], axis=-1)
    targets = _floats(table["targets"], 0)
    totals = np.stack([_floats(table[name], np.nan) for name in _LOSSES], axis=-1)
    losses[at] = totals / np.where(targets > 0, targets, np.nan)[:, None]
    moving[:, _UPTIME] = 0  # it is a straight line
    return HourScores(tuple(names), HourCounts(moving, inside), losses)


def _floats(column: pa.ChunkedArray, missing: float) -> Floats:
    values = column.cast(pa.float64()).combine_chunks()
    return np.asarray(pc.fill_null(values, missing).to_numpy(zero_copy_only=False), np.float64)


def calibrated(window: Window, model: str, hour: datetime, scores: HourScores) -> pa.Table:
    """Return the rows of the calibration after this hour."""
    named, _ = read_calibration(window, model, hour)
    servers = tuple(sorted({*named.servers, *scores.servers}))
    profile_by_server = profiles_of(window, servers)
    profiles = tuple(sorted({*named.profiles, *profile_by_server}))
    named = named.of(profiles, servers)
    counts = _of_servers(scores, servers)
    profile_of = places(profiles, profile_by_server)
    state = updated(named.state, counts, profile_of)
    if due_for_preset(state).any():
        state = preset(state, _preset_factors(window, model, hour + HOUR, scores.servers))
    active = counts.moving.any(axis=(1, 2))
    with_active = np.isin(np.arange(len(profiles)), profile_of[active])
    named = replace(
        named, state=state,
        server_idle=np.where(active, 0, named.server_idle + 1),
        profile_idle=np.where(with_active, 0, named.profile_idle + 1),
    )  # fmt: skip
    return calibration_rows(named, model, hour + HOUR)


def _of_servers(scores: HourScores, servers: Sequence[str]) -> HourCounts:
    """Return the counts of these servers: 0 for those without scores."""
    at = places(servers, scores.servers)
    moving, inside = np.zeros((len(servers), *SHAPE[:2])), np.zeros((len(servers), *SHAPE))
    known = at >= 0
    moving[at[known]] = scores.counts.moving[known]
    inside[at[known]] = scores.counts.inside[known]
    return HourCounts(moving, inside)


def _preset_factors(window: Window, model: str, until: datetime, servers: Sequence[str]) -> Floats:
    """Return the factors that would have fitted the forecasts whose targets passed in 24 h."""
    sample = list(servers[:: -(-len(servers) // PRESET_SERVERS) or 1])
    steps = PRESET_SPAN // STEP
    context = window.contexts(until, steps, sample)
    rows = window.reader.named(
        "windows/forecasts_to_preset", {"columns": ", ".join((*QUANTILE_COLUMNS, *RECIPE_COLUMNS))},
        model=model, start=context.start, stop=until, servers=list(context.servers),
        each=int(PRESET_EACH.total_seconds()),
    )  # fmt: skip
    rows = rows.filter(pc.is_in(rows["metric"], pa.array(METRIC_NAMES)))
    server = places(context.servers, rows["server"].to_pylist())
    metric = places(METRIC_NAMES, rows["metric"].to_pylist())
    first = np.array([(at - context.start) // STEP for at in rows["issued_at"].to_pylist()], int)
    leads = np.arange(EACH_STEP - 1, HORIZON_STEPS, EACH_STEP)
    values = np.pad(context.values, ((0, 0), (0, HORIZON_STEPS), (0, 0)), constant_values=np.nan)
    observed = values[server[:, None], first[:, None] + leads, metric[:, None]]
    spans = _span(context.values, 0.01, 0.99)[server, metric]
    ratios = band_ratios(forecast_rows(rows).raw[:, leads], observed, ABSOLUTE_DISTANCE * spans)
    ratios[_span(context.values, 0, 1)[server, metric] == 0] = np.nan  # still series
    return factors_of_ratios(ratios, metric, BUCKET_OF_STEP[leads])


def _span(values: Floats, low: float, high: float) -> Floats:
    """Return how far two quantiles of each series of values [n, steps, 14] are apart: [n, 14]."""
    ordered = np.sort(values, axis=1)
    newest = np.maximum(np.isfinite(ordered).sum(axis=1, keepdims=True) - 1, 0)
    ends = [
        np.take_along_axis(ordered, (q * newest).astype(np.intp), axis=1)[:, 0] for q in (low, high)
    ]
    return np.nan_to_num(ends[1] - ends[0])


def _to_race(window: Window, position: Position, scores: HourScores) -> list[str]:
    """Return the servers after `position.after` whose race is run or goes on, in order."""
    until = position.hour
    known = window.reader.named(
        "windows/race_servers", model=position.model, since=until - HOUR, now=until
    )["server"].to_pylist()
    return sorted(name for name in {*known, *scores.servers} if name > position.after)


def raced(
    window: Window, model: str, hour: datetime, servers: Sequence[str], scores: HourScores
) -> pa.Table:
    """Return the rows of the race of `servers`, in order of name, after this hour."""
    before = read_race(window, model, hour, servers)
    at = places(scores.servers, servers)
    losses = np.full((len(servers), *scores.losses.shape[1:]), np.nan)
    losses[at >= 0] = scores.losses[at[at >= 0]]
    state = race.updated(before.state, losses)
    week = _week(window, model, hour + HOUR, servers)
    skills, abstains = _skills(week, before.abstains)
    named = _with_bands(window, hour + HOUR, before)
    shares = race.weights(state, np.nan_to_num(week["scale"]))
    named = replace(
        named, state=state, shares=shares, skill=skills, abstains=abstains,
        idle=np.where(at >= 0, 0, before.idle + 1),
    )  # fmt: skip
    return race_rows(named, model, hour + HOUR)


def _with_bands(window: Window, until: datetime, named: NamedRace) -> NamedRace:
    """Return the state with the bands of the naive forecasts, measured again when they are due."""
    known = np.isfinite(named.last_band).any()
    if known and until.hour % BANDS_EACH_HOURS:
        return named
    context = window.contexts(until, race.HISTORY_STEPS, list(named.servers))
    at = places(context.servers, named.servers)
    seasonal, last = race.seasonal_band(context.values), race.last_band(context.values)
    result = NamedRace.new(named.servers)
    result.seasonal_band[at >= 0] = seasonal[at[at >= 0]]
    result.last_band[at >= 0] = last[at[at >= 0]]
    return replace(named, seasonal_band=result.seasonal_band, last_band=result.last_band)


def _week(window: Window, model: str, until: datetime, servers: Sequence[str]) -> dict[str, Floats]:
    """Return sums of the scores of 7 days by name, each [n, 14]; NaN where there are none."""
    rows = window.reader.named(
        "windows/recent_skill", model=model, since=until - SKILL_SPAN, now=until,
        first=servers[0], last=servers[-1],
    )  # fmt: skip
    server = places(servers, rows["server"].to_pylist())
    metric = places(METRIC_NAMES, rows["metric"].to_pylist())
    used = (server >= 0) & (metric >= 0)
    sums = {name: np.full((len(servers), len(METRIC_NAMES)), np.nan) for name in _SKILL_COLUMNS}
    for name, values in sums.items():
        values[server[used], metric[used]] = _floats(rows[name], np.nan)[used]
    return sums


def _skills(
    week: dict[str, Floats], before: npt.NDArray[np.object_]
) -> tuple[Floats, npt.NDArray[np.object_]]:
    """Return the skill [n, 14], and why a metric abstains for it, or None; `before` as it was."""
    skills = skill(week["loss"], week["last"], week["seasonal"])
    naive = np.fmin(week["last"], week["seasonal"])
    scale = np.nan_to_num(week["targets"] * week["scale"])
    excess = np.where(scale > 0, (week["loss"] - naive) / np.where(scale > 0, scale, 1), 0)
    without = without_skill(skills, excess, np.nan_to_num(week["hours"]), before.astype(bool))
    reasons = np.full(skills.shape, None, object)
    for i, j in zip(*np.nonzero(without), strict=True):
        reasons[i, j] = no_skill_reason(float(skills[i, j]))
    return skills, reasons
