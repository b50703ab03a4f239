"""Promotion gate: forecast the newest week with both models, and compare what they lost."""

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from functions.rules.acted_on import ACTS, Act, acted_steps, reboots
from functions.rules.evaluation.baselines import SEASONAL, Forecasting, baselines
from functions.rules.evaluation.promotion import Blocks, Trial, Verdict, compare_models
from functions.rules.evaluation.scoring import ScoredWindows, comparable, tally
from functions.rules.evaluation.stability import SHIFT_STEPS, mean_jump
from storage.config.folders import Folders
from storage.errors import LakeMissing
from storage.model.grid import HORIZON_STEPS, STEP
from storage.model.metrics import METRIC_NAMES
from storage.query import due_forecasts
from storage.query.history import History
from storage.query.reader import Reader

__all__ = ["acted_windows", "judge"]

SERVERS_AT_ONCE = 32  # of each, three weeks of windows and their forecasts are in memory
_UPTIME = METRIC_NAMES.index("uptime_days")

Floats = NDArray[np.float64]


class _Losses(NamedTuple):
    """Losses [n, 14] of the windows of some servers, and how far each model jumps [weight]."""

    ours: Floats
    theirs: Floats
    naive: Floats
    jumps: tuple[float, float]
    servers: int


def judge(
    newest: ScoredWindows,
    shifted: ScoredWindows,
    ours: Forecasting,
    theirs: Forecasting,
    left_out: NDArray[np.bool_],
) -> Verdict:
    """Compare two models on the windows of `newest`, without those of `left_out` [n].

    `shifted` are the last windows of each server, SHIFT_STEPS earlier. Raises ValueError when
    nothing moves in them.
    """
    parts = [
        _losses(part, earlier, ours, theirs)
        for part, earlier in zip(_portions(newest), _portions(shifted), strict=True)
    ]
    weights = np.array([part.servers for part in parts], np.float64)
    jumps = [_weighted([part.jumps[model] for part in parts], weights) for model in (0, 1)]
    loss = [np.concatenate([part[i] for part in parts]) for i in range(3)]
    blocks = Blocks(loss[2], newest.profile, left_out, newest.origins)
    return compare_models(Trial(loss[0], jumps[0]), Trial(loss[1], jumps[1]), blocks)


def acted_windows(folders: Folders, history: History, origins: int) -> NDArray[np.bool_]:
    """Return a mask [S * origins] of the newest windows in which somebody acted or it rebooted."""
    steps = origins * HORIZON_STEPS
    newest = history.last(steps)
    acts = _acts(folders, newest)
    acted = acted_steps(acts, newest.servers, METRIC_NAMES, newest.steps).any(1)  # [S, steps]
    acted |= reboots(newest.values[:, :, _UPTIME])
    early = np.zeros((len(acted), steps - newest.steps), np.bool_)
    whole = np.concatenate([early, acted], axis=1)
    return np.asarray(whole.reshape(len(acted), origins, HORIZON_STEPS).any(2).reshape(-1))


def _acts(folders: Folders, newest: History) -> list[Act]:
    """Read what people did in the time of a history; nothing where there is no lake."""
    first, stop = newest.span
    try:
        reader = Reader.open(folders.data)
    except LakeMissing:
        return []
    try:
        rows = due_forecasts.acts(reader, ACTS, first, stop)
    finally:
        reader.close()
    return [
        Act((row.start - first) // STEP, (row.stop - first) // STEP, row.server, row.pattern)
        for row in rows
    ]


def _losses(
    newest: ScoredWindows, shifted: ScoredWindows, ours: Forecasting, theirs: Forecasting
) -> _Losses:
    forecasts = [_forecast(model, newest) for model in (ours, theirs)]
    known = comparable(newest, *forecasts)
    naive = _forecast(baselines()[SEASONAL], newest)
    losses = [tally(each, newest, known).loss.sum(1) for each in (*forecasts, naive)]
    jumps = [
        mean_jump(_forecast(model, shifted), _last(made, newest, shifted), SHIFT_STEPS)
        for model, made in zip((ours, theirs), forecasts, strict=True)
    ]
    servers = len(newest.profile) // newest.origins
    return _Losses(losses[0], losses[1], losses[2], (jumps[0], jumps[1]), servers)


def _forecast(model: Forecasting, windows: ScoredWindows) -> NDArray[np.float32]:
    return model(windows.context, windows.week_minute, windows.profile)


def _last(
    made: NDArray[np.float32], newest: ScoredWindows, shifted: ScoredWindows
) -> NDArray[np.float32]:
    """Return the forecasts of the windows of which `shifted` has the earlier ones."""
    by_server = made.reshape(-1, newest.origins, *made.shape[1:])
    return by_server[:, -shifted.origins :].reshape(-1, *made.shape[1:])


def _portions(windows: ScoredWindows) -> Iterator[ScoredWindows]:
    """Yield the windows of SERVERS_AT_ONCE servers at a time."""
    names = [field.name for field in fields(windows) if field.name != "origins"]
    size = SERVERS_AT_ONCE * windows.origins
    for first in range(0, len(windows.profile), size):
        rows = slice(first, first + size)
        yield replace(windows, **{name: getattr(windows, name)[rows] for name in names})


def _weighted(values: Sequence[float], weights: Floats) -> float:
    known = np.isfinite(values)
    if not known.any():
        return float("nan")
    return float(np.average(np.array(values)[known], weights=weights[known]))
