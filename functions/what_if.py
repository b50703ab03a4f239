"""What-if: what the model forecasts for a server if some of its metrics were different."""

from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from functions.engine.forecaster import Forecaster, ModelUnusable
from functions.engine.function import Batch, function
from functions.engine.serving_model import ServingModel
from functions.engine.triggers import request
from functions.engine.window import Window
from functions.normalize.strict_toml import SourceInvalid, decode_strict
from functions.rules.serving.recipes import ServingState, abstentions, recipe_of
from functions.rules.what_if import Change, ChangeInvalid, changed, level_of, parse_changes
from functions.serving_state import serving_state
from storage.model.grid import CONTEXT_STEPS, QUANTILES, STEP, floor_step
from storage.model.metrics import METRIC_NAMES
from storage.model.names import is_name
from storage.model.served import served
from storage.query.windows import Contexts

__all__ = ["what_if"]

SILENT: Final = timedelta(minutes=30)  # a server without a step for so long has no context
# Of the quantiles, a page draws these: the 80 % band and the median.
DRAWN: Final = {
    "p10": QUANTILES.index(0.1),
    "p50": QUANTILES.index(0.5),
    "p90": QUANTILES.index(0.9),
}

Floats = npt.NDArray[np.float32]


class WhatIfRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which server, and what is changed, such as "mem_used_pct:-20%,traffic:x1.5"."""

    server: str
    set: str


class _NotPossible(SourceInvalid):
    """There is no what-if for this request; the message says why."""


@function(on=request(), writes=())
def what_if(window: Window, model: ServingModel, body: Any) -> Batch:
    """Forecast a server as it is and with changes; `body` has server and set. Nothing is stored.

    The answer is model-implied, not causal: the model has seen servers like that, it has not seen
    this one being changed.
    """
    try:
        wanted = _decoded(body)
        changes = parse_changes(wanted.set)
        contexts = _contexts(window, wanted.server)
        serving = model.serving()
    except (SourceInvalid, ChangeInvalid, ModelUnusable) as error:
        return Batch(refused=1, reasons=(str(error),))
    state = serving_state(window, serving.hash, contexts)
    pair = np.concatenate([contexts.values, changed(contexts.values[0], changes)[None]])
    quantiles = serving.predict(pair, contexts.start, contexts.profiles * 2).quantiles
    base, other = (
        _served(pair[i : i + 1], quantiles[i : i + 1], contexts, state) for i in range(2)
    )
    return Batch(answer=_answer(wanted.server, contexts.stop, serving, pair, changes, base, other))


def _decoded(body: Any) -> WhatIfRequest:
    if not isinstance(body, dict):
        raise SourceInvalid(
            f"{body!r} is not a request (expected an object such as "
            '{"server": "web-1", "set": "mem_used_pct:-20%"})'
        )
    wanted: WhatIfRequest = decode_strict(body, WhatIfRequest)
    return wanted


def _contexts(window: Window, server: str) -> Contexts:
    """Return the 24 h before the server's newest complete step. Raises SourceInvalid."""
    complete = floor_step(window.now)
    newest = None
    if is_name(server):
        newest = window.sql(
            "SELECT max(ts) AS ts FROM metrics_5m WHERE server = $server AND ts >= $oldest "
            "AND ts < $stop",
            server=server, oldest=complete - SILENT, stop=complete,
        )["ts"][0].as_py()  # fmt: skip
    contexts = window.contexts(newest + STEP, CONTEXT_STEPS, [server]) if newest else None
    if contexts is None or not contexts.servers:
        raise _NotPossible(f"{server} has no data of the last 30 min: there is nothing to change")
    return contexts


def _served(
    context: Floats, quantiles: Floats, contexts: Contexts, state: ServingState
) -> tuple[Floats, dict[int, str]]:
    """Return what would be served [96, 14, 7], and why not by the index of a metric."""
    whys = {j: why for (_, j), why in abstentions(context, quantiles, state.race).items()}
    recipe = recipe_of(context, contexts.profiles, state)
    return served(quantiles, recipe)[0], whys


def _answer(
    server: str, issued_at: datetime, model: Forecaster, pair: Floats, changes: list[Change],
    base: tuple[Floats, dict[int, str]], other: tuple[Floats, dict[int, str]],
) -> dict[str, Any]:  # fmt: skip
    forecasts = [
        {"metric": name, "base": _lists(*base, j), "changed": _lists(*other, j)}
        for j, name in enumerate(METRIC_NAMES)
    ]
    return {
        "server": server, "issued_at": issued_at.isoformat(), "model": model.hash,
        "changes": [
            {"metric": c.metric, "from": _level(pair[0], c.metric), "to": _level(pair[1], c.metric)}
            for c in changes
        ],
        "forecasts": forecasts,
    }  # fmt: skip


def _level(context: Floats, metric: str) -> float | None:
    level = level_of(context, metric)
    return None if np.isnan(level) else round(level, 3)


def _lists(quantiles: Floats, whys: dict[int, str], metric: int) -> dict[str, Any] | None:
    """Return the drawn quantiles of a metric, 96 values each; None where none would be served."""
    values = quantiles[:, metric]
    if metric in whys or not np.isfinite(values).all():
        return None
    return {name: np.round(values[:, i].astype(float), 3).tolist() for name, i in DRAWN.items()}
