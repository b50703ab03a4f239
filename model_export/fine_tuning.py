"""Fine-tuning on a fleet's own history: split, early stopping, weight interpolation."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from functions.rules.evaluation.scoring import ORIGINS, ScoredWindows, held_out_windows, score
from functions.rules.evaluation.stability import SHIFT_STEPS
from model_export.calibration import calibrate
from model_export.network import ForecastNetwork, Shape
from model_export.parity_check import torch_forecast
from model_export.train import Checkpoint, EarlyStopping, ProgressCallback, Recipe, train
from model_export.training_windows import Corpus
from storage.model.grid import CONTEXT_STEPS, HORIZON_STEPS, MIN_CONTEXT_STEPS
from storage.query.history import History, HistoryError

__all__ = ["FINE_TUNING", "FROM_SCRATCH", "FineTuned", "HistorySplit", "fine_tune", "split_history"]

FINE_TUNING = Recipe(steps=400, batch=64, rate=1e-3, average=0.97)  # 3e-3 over-fitted
FROM_SCRATCH = Recipe(steps=6000, batch=64, rate=2e-3)
MIN_STEPS = 36 * 12  # 20 h to train on, 8 h to validate and 8 h to test
EVERY_STEPS, PATIENCE = 25, 4
_SHARES = (1.0, 0.6, 0.3)  # of the way from the initial weights to the trained ones
WEEK_ORIGINS = 21  # 8 h apart: the newest week, on which models are compared
SHIFTED_ORIGINS = 6  # two days
_LONG = 8 * HORIZON_STEPS  # from here on, more than one horizon is held out


@dataclass(frozen=True, slots=True)
class HistorySplit:
    """One history in three parts: to train on, to stop by, and to compare models by."""

    training: History
    validation: Sequence[ScoredWindows]  # all hosts on later days; other hosts on the same days
    test: ScoredWindows  # the newest hours of all hosts, after those of all other parts
    shifted: ScoredWindows  # the last of `test`, each SHIFT_STEPS earlier: do forecasts jump?


@dataclass(frozen=True, slots=True)
class FineTuned:
    """The result of a fine-tuning; `kept_share` is 0 when the initial weights were better."""

    checkpoint: Checkpoint
    loss: float  # on the validation windows, relative to the seasonal naive forecast
    kept_share: float  # of the way from the initial weights to the trained ones


def split_history(history: History) -> HistorySplit:
    """Hold out every fifth host and the newest hours of `history`.

    Windows may begin before the history does, so that two days are enough to train on. Raise
    HistoryError if there are less than 36 hours.
    """
    if history.steps < MIN_STEPS:
        raise HistoryError(
            f"there are {history.steps / 12:.0f} h of history, and training needs "
            f"{MIN_STEPS // 12}: wait for more samples, or pass files with more history"
        )
    horizons = history.steps // HORIZON_STEPS
    tested = 1 if history.steps < _LONG else min(max(horizons // 6, 1), WEEK_ORIGINS)
    origins = min(tested, ORIGINS)
    whole = _with_empty_start(history)
    earlier = whole.before(-tested * HORIZON_STEPS)
    training = earlier.before(-origins * HORIZON_STEPS)
    hosts = np.arange(len(history.servers))
    other = hosts[hosts % 5 == 2] if len(hosts) >= 5 else hosts[:0]
    validation = [held_out_windows(earlier, origins=origins)]
    if len(other):
        spans = (training.steps - CONTEXT_STEPS) // HORIZON_STEPS
        validation.append(held_out_windows(training.only(other), origins=min(spans, ORIGINS)))
    return HistorySplit(
        training.only(np.setdiff1d(hosts, other)),
        validation,
        held_out_windows(whole, origins=tested),
        held_out_windows(whole.before(-SHIFT_STEPS), origins=min(tested, SHIFTED_ORIGINS)),
    )


def fine_tune(
    split: HistorySplit,
    recipe: Recipe,
    start: Checkpoint | None,
    shape: Shape | None = None,
    name: str = "history",
    on_progress: ProgressCallback | None = None,
    progress_file: Path | None = None,
) -> FineTuned:
    """Train on `split.training`, from `start` or from scratch in `shape`, and calibrate.

    Training stops early by the validation loss, which also decides how far the result moves from
    the weights of `start`. `name` is the corpus in the card; `on_progress` and `progress_file` are
    those of `train`.
    """
    loss_of = _validation_loss(split.validation)
    stopping = EarlyStopping(loss_of, EVERY_STEPS, PATIENCE)
    corpora = [Corpus(name, split.training)]
    trained = train(corpora, recipe, shape, start, on_progress, stopping, progress_file)
    share = 1.0
    if start is not None:
        share, network = _best_interpolation(start.network, trained.network, loss_of)
        trained = replace(trained, network=network)
    calibrate(trained.network, split.validation, prior=start.network if start else None)
    return FineTuned(trained, loss_of(trained.network), share)


def _best_interpolation(
    start: ForecastNetwork, trained: ForecastNetwork, loss_of: Callable[[ForecastNetwork], float]
) -> tuple[float, ForecastNetwork]:
    """Return the best of the initial weights, the trained ones and means of both, and its share.

    After Wortsman et al. (2022), "Robust fine-tuning of zero-shot models": a mean is often better
    than both.
    """
    uncalibrated = deepcopy(start)
    uncalibrated.widen(torch.ones(1))
    best = (loss_of(uncalibrated), 0.0, deepcopy(start))
    for share in _SHARES:
        network = _interpolated(uncalibrated, trained, share)
        loss = loss_of(network)
        if loss < best[0]:
            best = (loss, share, network)
    return best[1], best[2]


def _interpolated(
    start: ForecastNetwork, trained: ForecastNetwork, share: float
) -> ForecastNetwork:
    network = deepcopy(trained)
    weights: dict[str, Any] = start.state_dict()
    network.load_state_dict(
        {name: weights[name].lerp(value, share) for name, value in trained.state_dict().items()}
    )
    return network.eval()


def _validation_loss(sets: Sequence[ScoredWindows]) -> Callable[[ForecastNetwork], float]:
    """Return a function to a network's mean loss over `sets`, relative to seasonal naive."""

    def loss_of(network: ForecastNetwork) -> float:
        forecast = torch_forecast(network)
        losses = [score(forecast(s.context, s.week_minute, s.profile), s).loss for s in sets]
        return float(np.nanmean(losses))

    return loss_of


def _with_empty_start(history: History) -> History:
    """Return the history after as many empty steps as a context may lack."""
    empty = CONTEXT_STEPS - MIN_CONTEXT_STEPS
    values = np.pad(history.values, ((0, 0), (empty, 0), (0, 0)), constant_values=np.nan)
    return replace(
        history,
        start_s=history.start_s - empty * 300,
        values=values,
        anomalous=None,
    )
