"""Recipes: what a row of forecasts needs, beside the model's quantiles, to be served."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from functions.rules.serving.abstention import (
    OUTSIDE_REASON,
    gap_reason,
    outside,
    with_gaps,
)
from functions.rules.serving.calibration import widths
from functions.rules.serving.race import context_quantiles, leading
from functions.rules.serving.state_rows import NamedCalibration, NamedRace, places
from storage.model.grid import BUCKET_MINUTES, HORIZON_STEPS
from storage.model.served import CANDIDATES, Recipe

__all__ = ["ServingState", "abstentions", "leading_names", "recipe_of"]

Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class ServingState:
    """What is known of n servers, in their order: calibration (None: never scored) and race."""

    calibration: NamedCalibration | None
    race: NamedRace


def recipe_of(
    context: npt.NDArray[np.float32], profiles: tuple[str, ...], state: ServingState
) -> Recipe:
    """Return the recipe [n, 14] of forecasts from `context` [n, 288, 14].

    `profiles` are the servers' own. A share of a naive forecast that cannot be made is the model's.
    """
    n, metrics = context.shape[0], context.shape[2]
    last = _last(context)
    seasonal = context[:, :HORIZON_STEPS].transpose(0, 2, 1)
    seasonal = np.where(np.isfinite(seasonal), seasonal, last[..., None])
    band = np.repeat(state.race.seasonal_band[:, :, None], len(BUCKET_MINUTES), axis=2)
    recipe = replace(
        Recipe.empty(n, metrics),
        context=context_quantiles(context),
        seasonal=seasonal.astype(np.float32),
        seasonal_band=band.astype(np.float32),
        last_band=(last[..., None, None] + state.race.last_band).astype(np.float32),
    )
    if state.calibration is not None:
        known = state.calibration.profiles
        named = state.calibration.of((*known, *sorted({*profiles} - {*known})), state.race.servers)
        factors = widths(named.state, places(named.profiles, profiles))
        recipe = replace(recipe, widths=factors)
    return replace(recipe, weights=_weights(recipe, state.race))


def _last(context: Floats) -> Floats:
    """Return the newest reading of each series [n, 14]; NaN where there is none."""
    known = np.isfinite(context)
    place = context.shape[1] - 1 - known[:, ::-1].argmax(axis=1)
    return np.take_along_axis(context, place[:, None], axis=1)[:, 0]


def _weights(recipe: Recipe, race: NamedRace) -> npt.NDArray[np.float32]:
    """Return the shares, NaN for a series without evidence."""
    possible = np.stack(
        [
            np.isfinite(recipe.context).all(axis=-1),
            np.isfinite(recipe.seasonal).all(axis=-1)
            & np.isfinite(recipe.seasonal_band).all((2, 3)),
            np.isfinite(recipe.last_band).all(axis=(2, 3)),
        ],
        axis=-1,
    )  # [n, 14, 3]
    shares = race.shares.astype(np.float32).copy()
    shares[..., 1:] *= possible[:, :, None]
    shares[..., 0] = 1 - shares[..., 1:].sum(axis=-1)
    shares[~(race.state.hours > 0).any(axis=(2, 3))] = np.nan
    return shares


def leading_names(recipe: Recipe) -> list[str | None]:
    """Return the candidate with the largest share of each series; None without a race."""
    known = np.isfinite(recipe.weights).all(axis=(2, 3))
    first = leading(np.nan_to_num(recipe.weights))
    return [CANDIDATES[i] if k else None for i, k in zip(first.flat, known.flat, strict=True)]


def abstentions(context: Floats, quantiles: Floats, race: NamedRace) -> dict[tuple[int, int], str]:
    """Return why a forecast [n, 96, 14, 7] of the model is not served, by server and metric."""
    whys: dict[tuple[int, int], str] = {
        (int(i), int(j)): race.abstains[i, j]
        for i, j in zip(*np.nonzero(race.abstains.astype(bool)), strict=True)
    }
    for i, j in zip(*np.nonzero(outside(context, quantiles)), strict=True):
        whys[int(i), int(j)] = OUTSIDE_REASON
    gaps, known, steps = with_gaps(context)
    for i, j in zip(*np.nonzero(gaps), strict=True):
        whys[int(i), int(j)] = gap_reason(int(known[i, j]), int(steps[i, j]))
    return whys
