"""Forecasts: the next 8 hours of each metric of each server, as quantiles, by the serving model."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from functions.engine.executors.executor import error_text
from functions.engine.fleet_isolation import Divided, divide_on_failure
from functions.engine.forecaster import Forecast, Forecaster, ModelUnusable
from functions.engine.function import Batch, function
from functions.engine.serving_model import ServingModel
from functions.engine.triggers import every, rows
from functions.engine.window import Window
from functions.rollup import SETTLE
from functions.rules.serving.recipes import ServingState, abstentions, leading_names, recipe_of
from functions.rules.serving.state_rows import as_lists
from functions.serving_state import serving_state
from storage.model.grid import (
    CONTEXT_STEPS,
    HORIZON_STEPS,
    MIN_CONTEXT_STEPS,
    QUANTILE_COLUMNS,
    QUANTILES,
    STEP,
    STEP_MINUTES,
    floor_step,
)
from storage.model.metrics import METRIC_NAMES
from storage.model.names import is_name
from storage.model.schema import table
from storage.model.served import Recipe
from storage.platform.error_text import bounded
from storage.query.forecast_rows import RECIPE_COLUMNS
from storage.query.windows import Contexts

# A server that is silent for longer than this has no context to forecast from.
SILENT = timedelta(minutes=30)

# Servers of one run: its rows, 40 kB a server, are in memory until they are a segment, and the
# writer commits them during the next run.
MAX_SERVERS = 512

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Portion:
    """The servers of one run, and the cursor at which the next one continues."""

    servers: list[str]
    more: bool
    cursor: str | None


@function(on=(rows("metrics_5m"), every("5m")), writes=("forecasts", "models"))
def forecast(window: Window, model: ServingModel, cursor: str | None) -> Batch:
    """Forecast every server that has no forecast yet from the newest complete step.

    A server that abstained there, because its history was still on its way, is forecast as soon as
    the history is there.
    """
    issued_at = _newest_origin(window)
    if issued_at is None:
        return Batch()
    portion = _still_to_do(window, issued_at, cursor)
    if not portion.servers:
        return Batch()
    contexts = window.contexts(issued_at, CONTEXT_STEPS, portion.servers)
    rows, model_hash = _forecast(window, model, contexts)
    return Batch(
        rows, window_key=issued_at.isoformat(), model=model_hash, cursor=portion.cursor,
        more=portion.more,
    )  # fmt: skip


def _forecast(
    window: Window, serving: ServingModel, contexts: Contexts
) -> tuple[dict[str, pa.Table], str | None]:
    """Return the rows, and the hash of the model; without a model the rows say why.

    A row of `models` goes with them when another model serves than before, or none.
    """
    last = _last_event(window)  # before the model computes: later the lake may have changed
    path = str(serving.path or "shipped")
    try:
        model = serving.serving()
    except ModelUnusable as error:
        detail = bounded(str(error))
        event = {"event": "refused", "path": path, "detail": detail}
        rows = {"forecasts": _abstained(contexts, window.now, detail)}
        return rows | _event_rows(last, event, window.now), None
    card = json.dumps({k: v for k, v in model.card.items() if k != "fixture"})
    event = {"event": "serving", "model": model.hash, "path": path, "card": card}
    state = serving_state(window, model.hash, contexts)
    rows = {"forecasts": _predicted(model, contexts, window.now, state)}
    return rows | _event_rows(last, event, window.now), model.hash


def _newest_origin(window: Window) -> datetime | None:
    """Return the end of the newest complete step; None when no step is recent enough."""
    complete = floor_step(window.now - SETTLE)
    newest = window.sql(
        "SELECT max(ts) AS ts FROM metrics_5m WHERE ts >= $oldest AND ts < $stop",
        oldest=complete - SILENT,
        stop=complete,
    )["ts"][0].as_py()
    return None if newest is None else newest + STEP


def _still_to_do(window: Window, issued_at: datetime, cursor: str | None) -> _Portion:
    """Return the servers that have no forecast from this origin yet, at most MAX_SERVERS."""
    origin = issued_at.isoformat()
    at, _, after = (cursor or "").partition(" ")
    if at != origin:
        after = ""
    left = window.servers_to_forecast(issued_at, SILENT, after, MAX_SERVERS + 1)
    servers, more = left[:MAX_SERVERS], len(left) > MAX_SERVERS
    servers = [name for name in servers if is_name(name)]  # others wait for the writer
    if more and servers:
        return _Portion(servers, more, f"{origin} {servers[-1]}")
    # a server that is late to this origin may have any name
    return _Portion(servers, more, f"{origin} " if after else None)


def _predicted(
    model: Forecaster, contexts: Contexts, now: datetime, serving: ServingState
) -> pa.Table:
    quiet = _silent(contexts.values)
    made, failures = predict_each(model, contexts)
    steps = np.isfinite(contexts.values).sum(axis=1)  # [servers, metrics]
    whys: list[str | None] = [None] * steps.size
    for i, j in zip(*np.nonzero(made.state != "ok"), strict=True):
        why = _why(str(made.state[i, j]), int(steps[i, j]), int(steps[i].max()), bool(quiet[i]))
        whys[i * len(METRIC_NAMES) + j] = failures.get((i, j), why)
    states = made.state.astype("U9")
    for (i, j), why in abstentions(contexts.values, made.quantiles, serving.race).items():
        if states[i, j] != "abstained":
            states[i, j], whys[i * len(METRIC_NAMES) + j] = "abstained", why
    recipe = recipe_of(contexts.values, contexts.profiles, serving)
    made_rows = _rows(contexts, now, model.hash, states.reshape(-1).tolist(), whys, made.quantiles)
    return _with_recipe(made_rows, recipe)


def _with_recipe(rows: pa.Table, recipe: Recipe) -> pa.Table:
    """Return the rows with what they are served with, where the model has a forecast."""
    absent = pc.is_null(rows["p50"])
    columns: dict[str, pa.Array] = {
        name: as_lists(getattr(recipe, name).reshape(len(rows), -1)) for name in RECIPE_COLUMNS
    }
    columns["leading"] = pa.array(leading_names(recipe), pa.string())
    for name, column in columns.items():
        kept = pc.if_else(absent, pa.scalar(None, column.type), column)
        rows = rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), kept)
    return rows


def predict_each(
    model: Forecaster, contexts: Contexts
) -> tuple[Forecast, dict[tuple[int, int], str]]:
    """Return the forecasts, and the reason for each (server, metric) that has none.

    A server on whose readings the model fails is left out; the others are forecast.
    """
    count = len(contexts.servers)

    def work(part: slice) -> Forecast:
        return predict(model, contexts.values[part], contexts.start, contexts.profiles[part])

    divided = divide_on_failure(contexts.servers, work)
    whys = {
        (index, metric): f"the model failed on its readings: {error_text(error)}"
        for index, error in divided.failures.items() for metric in range(len(METRIC_NAMES))
    }  # fmt: skip
    made = (
        divided.results[0][1] if len(divided.results) == 1 and not whys else _joined(divided, count)
    )
    finite = np.isfinite(made.quantiles).all(axis=(1, 3))  # [servers, metrics]
    for i, j in zip(*np.nonzero(~finite & (made.state != "abstained")), strict=True):
        whys[int(i), int(j)] = "the model gave no finite numbers for its readings"
    return Forecast(made.quantiles, np.where(finite, made.state, "abstained")), whys


def _joined(divided: Divided[Forecast], count: int) -> Forecast:
    """Return one forecast for `count` servers; abstained, with NaN, where there is no result."""
    shape = (count, HORIZON_STEPS, len(METRIC_NAMES), len(QUANTILES))
    quantiles = np.full(shape, np.nan, np.float32)
    state = np.full(shape[:1] + shape[2:3], "abstained")
    for part, made in divided.results:
        quantiles[part], state[part] = made.quantiles, made.state
    return Forecast(quantiles, state)


def predict(
    model: Forecaster, values: Floats, start: datetime, profiles: Sequence[str] | Sequence[int]
) -> Forecast:
    """Return the forecast of the model, and none for a server that is silent."""
    reporting = values.copy()
    reporting[_silent(values)] = np.nan
    return model.predict(reporting, start, profiles)


def _silent(values: Floats) -> npt.NDArray[np.bool_]:
    """Return a mask [n] of the servers without a value in the last half hour of the context."""
    recent = values[:, -(SILENT // STEP) :, :]
    return np.logical_not(np.isfinite(recent).any(axis=(1, 2)))


def _why(state: str, steps: int, of_server: int, silent: bool) -> str | None:
    """Return why a forecast is not complete: `steps` of this metric, `of_server` of its fullest."""
    if state == "ok":
        return None
    if state == "early":
        return f"from {_duration(steps)} of data ({steps} of {CONTEXT_STEPS} steps)"
    if silent and of_server:
        return f"no data for more than {_duration(SILENT // STEP)}"
    if of_server < MIN_CONTEXT_STEPS:
        return (
            f"collecting, {of_server} of {CONTEXT_STEPS}: "
            f"the first forecast needs {MIN_CONTEXT_STEPS}"
        )
    return f"only {steps} readings in the last 24 h: a forecast needs {MIN_CONTEXT_STEPS}"


def _duration(steps: int) -> str:
    hours, minutes = divmod(steps * STEP_MINUTES, 60)
    return " ".join([f"{hours} h"] * bool(hours) + [f"{minutes} min"] * bool(minutes or not hours))


def _abstained(contexts: Contexts, now: datetime, why: str) -> pa.Table:
    count = len(contexts.servers) * len(METRIC_NAMES)
    return _rows(contexts, now, None, ["abstained"] * count, [why] * count, None)


def _rows(
    contexts: Contexts,
    now: datetime,
    model: str | None,
    states: Sequence[str],
    whys: Sequence[str | None],
    quantiles: Floats | None,
) -> pa.Table:
    """Return a row for each server and metric; `quantiles` is [servers, 96, metrics, 7] or None."""
    n, schema = len(contexts.servers), table("forecasts").arrow
    count = n * len(METRIC_NAMES)
    steps = np.isfinite(contexts.values).sum(axis=1).astype(np.int16)
    columns = {
        "server": pa.array(contexts.servers).take(np.repeat(np.arange(n), len(METRIC_NAMES))),
        "metric": pa.array(METRIC_NAMES).take(np.tile(np.arange(len(METRIC_NAMES)), n)),
        "issued_at": pa.repeat(pa.scalar(contexts.stop, schema.field("issued_at").type), count),
        "made_at": pa.repeat(pa.scalar(now, schema.field("made_at").type), count),
        "model": pa.repeat(pa.scalar(model, pa.string()), count),
        "state": states,
        "why": whys,
        "context_steps": steps.reshape(-1),
    }
    for i, name in enumerate(QUANTILE_COLUMNS):
        columns[name] = _lists(None if quantiles is None else quantiles[..., i], count)
    missing = {f.name: pa.nulls(count, f.type) for f in schema if f.name not in columns}
    return pa.table(columns | missing, schema=schema)


def _lists(values: Floats | None, count: int) -> pa.Array:
    """Return [servers, 96, metrics] as one list of 96 a row; NULL where the model abstained."""
    if values is None:
        return pa.nulls(count, pa.list_(pa.float32()))
    flat = values.transpose(0, 2, 1).reshape(count, HORIZON_STEPS)
    offsets = pa.array(np.arange(0, flat.size + 1, HORIZON_STEPS), pa.int32())
    absent = ~np.isfinite(flat).all(axis=1)
    return pa.ListArray.from_arrays(offsets, pa.array(flat.reshape(-1)), mask=pa.array(absent))


def _last_event(window: Window) -> dict[str, Any]:
    """Return the newest event of the serving model; empty when there is none."""
    rows = window.sql(
        "SELECT event, model, detail FROM models WHERE event IN ('serving', 'refused') "
        "AND ts <= $now ORDER BY ts DESC LIMIT 1",
        now=window.now,
    ).to_pylist()
    return rows[0] if rows else {}


def _event_rows(
    last: Mapping[str, Any], event: dict[str, str], now: datetime
) -> dict[str, pa.Table]:
    """Return a row of `models` for an event unless it is the same as the last one."""
    if last and all(last[key] == event.get(key) for key in ("event", "model", "detail")):
        return {}
    return {"models": pa.Table.from_pylist([event | {"ts": now}], table("models").arrow)}
