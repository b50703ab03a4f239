"""Exceedance: odds that a value is at or over a level, from the quantiles of a forecast."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from functions.rules.fleet_state import JUDGED, LEAST_ODDS, Bands, judged_quantiles
from storage.model.grid import HORIZON_STEPS, LEAD_MINUTES, QUANTILES, STEP_MINUTES

__all__ = [
    "LEAD_STEPS", "LEAST_RATE", "clipped", "exceedance", "logit", "odds_within", "ramp", "sigmoid",
    "step_odds",
]  # fmt: skip

Floats = npt.NDArray[np.floating[Any]]

# Single odds are never below LEAST_ODDS; those that are summed over a fleet may be this small.
LEAST_RATE: Final = 1e-6

LEAD_STEPS: Final = tuple(minutes // STEP_MINUTES for minutes in LEAD_MINUTES)


def exceedance(quantiles: Floats, level: Floats, width: Floats) -> Floats:
    """P(value ≥ level) from the 7 `quantiles` on the last axis; NaN where one of them is NaN.

    Linear between the quantiles (crossing ones are straightened first). Beyond them the odds fall
    by a factor e for each `width`, whatever spread the model claims: its tails are what it has
    learned least about. So a rise of any quantile never lowers the odds.
    """
    top = quantiles[..., 0]
    below = QUANTILES[0] * np.exp(np.minimum(0.0, (level - top) / width))
    for i in range(1, len(QUANTILES)):
        bottom, top = top, np.maximum(top, quantiles[..., i])
        below = below + (QUANTILES[i] - QUANTILES[i - 1]) * ramp(level, bottom, top)
    above = np.exp(-np.maximum(0.0, (level - top) / width))
    below = below + (1 - QUANTILES[-1]) * (1 - above)
    return clipped(1 - below)


def ramp(x: Floats, start: Floats, stop: Floats) -> Floats:
    """Return 0 up to `start`, 1 from `stop` on, straight between."""
    share: Floats = np.clip((x - start) / np.maximum(stop - start, 1e-9), 0.0, 1.0)
    return share


def odds_within(curve: Floats) -> Floats:
    """Return the odds [..., leads] that the level is reached within each of LEAD_MINUTES.

    They are the running maximum of the odds `curve` [..., 96] of the steps. Neighbouring steps of
    one series fail together: then the highest is exact, and always it is the least that the odds
    can be.
    """
    highest = np.maximum.accumulate(curve[..., :HORIZON_STEPS], axis=-1)
    odds: Floats = highest[..., [steps - 1 for steps in LEAD_STEPS]]
    return odds


def step_odds(quantiles: Floats, bands: Bands, shift: Floats | None = None) -> Floats:
    """Return P(critical level is reached) in each step: [n, 96, judged].

    `quantiles` [n, 96, 14, 7] are those of all metrics, as people see them; `shift` [n, judged] is
    added to them, signed.
    """
    odds = []
    for i in range(len(JUDGED)):
        of_metric = judged_quantiles(quantiles, i)
        if shift is not None:
            of_metric = of_metric + shift[:, i, None, None]
        level = bands.critical[:, i : i + 1]
        width = np.maximum(level - bands.warn[:, i : i + 1], 1e-9)
        odds.append(exceedance(of_metric, level, width))
    return np.stack(odds, axis=2)


def logit(p: Floats) -> Floats:
    """Return log(p / (1 − p)), of `p` cut to [LEAST_RATE, 1 − LEAST_RATE]; NaN stays NaN."""
    cut = np.clip(np.asarray(p, np.float64), LEAST_RATE, 1 - LEAST_RATE)
    logits: Floats = np.log(cut) - np.log1p(-cut)
    return logits


def sigmoid(x: Floats) -> Floats:
    """Return 1 / (1 + exp(−x))."""
    odds: Floats = 1 / (1 + np.exp(-np.clip(x, -30, 30)))
    return odds


def clipped(p: Floats) -> Floats:
    """Return odds cut to [LEAST_ODDS, 1 − LEAST_ODDS]: no forecast is a certainty."""
    odds: Floats = np.clip(p, LEAST_ODDS, 1 - LEAST_ODDS)
    return odds
