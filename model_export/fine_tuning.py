"""Learn from a fleet's own history: what is kept aside, when to stop, how far to follow it."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from functions.rules.evaluation.scoring import ORIGINS, ScoredWindows, held_out_windows, score
from model_export.calibration import calibrate
from model_export.network import ForecastNetwork, Shape
from model_export.parity_check import unexported
from model_export.train import Checkpoint, Progress, Recipe, Watch, train
from model_export.training_windows import Corpus
from storage.model.grid import CONTEXT_STEPS, HORIZON_STEPS, MIN_CONTEXT_STEPS
from storage.query.history import History, HistoryError

__all__ = ["FINE", "SCRATCH", "Parts", "Tuned", "parted", "tune"]

FINE = Recipe(steps=400, batch=64, rate=1e-3, average=0.97)  # 3e-3 over-fitted
SCRATCH = Recipe(steps=6000, batch=64, rate=2e-3)
LEAST_STEPS = 36 * 12  # of history: 20 h to learn from, twice 8 h to judge by
EVERY_STEPS, PATIENCE = 25, 4
_FOLLOWED = (1.0, 0.6, 0.3)  # shares of the way from the start's weights to the new ones
_LONG = 8 * HORIZON_STEPS  # history to learn from of which more than one horizon can be spared


@dataclass(frozen=True, slots=True)
class Parts:
    """One history in three: hosts and days to learn from, to stop by, and to be judged by."""

    learned: History
    watched: Sequence[ScoredWindows]  # other hosts on the same days, all hosts on later ones
    newest: ScoredWindows  # the newest hours of all hosts, in front of which the rest ends


@dataclass(frozen=True, slots=True)
class Tuned:
    """What was learned; `followed` is how much of it was kept, 0 when the start was better."""

    checkpoint: Checkpoint
    loss: float  # relative to seasonal naive, on what was watched
    followed: float


def parted(history: History) -> Parts:
    """Keep every fifth host and the newest hours aside; HistoryError when there is too little.

    Windows may begin before the history does, so that two days are enough to learn from.
    """
    if history.steps < LEAST_STEPS:
        raise HistoryError(
            f"there are {history.steps / 12:.0f} h of history, and training needs "
            f"{LEAST_STEPS // 12}: let the system run on, or name files with more"
        )
    horizons = history.steps // HORIZON_STEPS
    aside = 1 if history.steps < _LONG else min(max(horizons // 6, 1), ORIGINS)
    whole = _led_in(history)
    earlier = whole.before(-aside * HORIZON_STEPS)
    learned = earlier.before(-aside * HORIZON_STEPS)
    hosts = np.arange(len(history.servers))
    other = hosts[hosts % 5 == 2] if len(hosts) >= 5 else hosts[:0]
    watched = [held_out_windows(earlier, origins=aside)]
    if len(other):
        spans = (learned.steps - CONTEXT_STEPS) // HORIZON_STEPS
        watched.append(held_out_windows(learned.only(other), origins=min(spans, ORIGINS)))
    return Parts(
        learned.only(np.setdiff1d(hosts, other)), watched, held_out_windows(whole, origins=aside)
    )


def tune(
    parts: Parts,
    recipe: Recipe,
    start: Checkpoint | None,
    shape: Shape | None = None,
    name: str = "history",
    say: Progress | None = None,
    keep: Path | None = None,
) -> Tuned:
    """Train on a fleet, stop by what was kept aside, follow as far as that gets better."""
    judge = _judge(parts.watched)
    watch = Watch(judge, EVERY_STEPS, PATIENCE)
    found = train([Corpus(name, parts.learned)], recipe, shape, start, say, watch, keep)
    followed = 1.0
    if start is not None:
        followed, network = _followed(start.network, found.network, judge)
        found = replace(found, network=network)
    calibrate(found.network, parts.watched, prior=start.network if start else None)
    return Tuned(found, judge(found.network), followed)


def _followed(
    start: ForecastNetwork, found: ForecastNetwork, judge: Callable[[ForecastNetwork], float]
) -> tuple[float, ForecastNetwork]:
    """The best of the start, the new weights, and some between: a mean is often better than both.

    As in Wortsman et al. (2022), "Robust fine-tuning of zero-shot models".
    """
    plain = deepcopy(start)
    plain.widen(torch.ones(1))
    best = (judge(plain), 0.0, deepcopy(start))
    for share in _FOLLOWED:
        between = _between(plain, found, share)
        loss = judge(between)
        if loss < best[0]:
            best = (loss, share, between)
    return best[1], best[2]


def _between(start: ForecastNetwork, found: ForecastNetwork, share: float) -> ForecastNetwork:
    mixed = deepcopy(found)
    weights: dict[str, Any] = start.state_dict()
    mixed.load_state_dict(
        {name: weights[name].lerp(value, share) for name, value in found.state_dict().items()}
    )
    return mixed.eval()


def _judge(parts: Sequence[ScoredWindows]) -> Callable[[ForecastNetwork], float]:
    """The mean over `parts` of a network's loss relative to the seasonal naive forecast."""

    def judge(network: ForecastNetwork) -> float:
        ask = unexported(network)
        losses = [
            score(ask(part.context, part.week_minute, part.profile), part).loss for part in parts
        ]
        return float(np.nanmean(losses))

    return judge


def _led_in(history: History) -> History:
    """The history after nothing: as many empty steps as a context may lack."""
    empty = CONTEXT_STEPS - MIN_CONTEXT_STEPS
    values = np.pad(history.values, ((0, 0), (empty, 0), (0, 0)), constant_values=np.nan)
    return replace(
        history,
        start_s=history.start_s - empty * 300,
        values=values,
        anomalous=None,
    )
