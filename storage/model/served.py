"""Served forecasts: a model's quantiles after calibration, blended with three naive forecasts.

    served_rows(raw, recipe, low, high)    one forecast a row: [k, 96, 7] to [k, 96, 7]
    served(raw, recipe)                    servers and the 14 metrics: [n, 96, 14, 7] to the same
    candidates(raw, recipe)                the four that are blended, [4, n, 96, 14, 7]

The view `forecast_points` computes the same in SQL.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from storage.model.grid import (
    BAND_LEVELS,
    BUCKET_MINUTES,
    HORIZON_STEPS,
    QUANTILES,
    STEP_MINUTES,
)
from storage.model.metrics import METRICS

__all__ = [
    "ALL_STEPS", "BUCKET_OF_STEP", "CANDIDATES", "LEVEL_OF_QUANTILE", "Recipe",
    "candidate_rows", "candidates", "served", "served_rows",
]  # fmt: skip

CANDIDATES = ("model", "context", "seasonal", "last")
MEDIAN = QUANTILES.index(0.5)
# The lead bucket of each of the 96 steps, and the band that each quantile bounds (-1: the median).
BUCKET_OF_STEP = np.searchsorted(
    np.array(BUCKET_MINUTES), STEP_MINUTES * np.arange(1, HORIZON_STEPS + 1)
)
LEVEL_OF_QUANTILE = np.array([
    -1 if q == 0.5 else BAND_LEVELS.index(round(100 * abs(1 - 2 * q))) for q in QUANTILES
])  # fmt: skip
_SHAPES = {
    "widths": (len(BUCKET_MINUTES), len(BAND_LEVELS)),
    "weights": (len(BUCKET_MINUTES), len(CANDIDATES)),
    "context": (len(QUANTILES),),
    "seasonal": (HORIZON_STEPS,),
    "seasonal_band": (len(BUCKET_MINUTES), len(QUANTILES)),
    "last_band": (len(BUCKET_MINUTES), len(QUANTILES)),
}
_ENDS = [minutes // STEP_MINUTES for minutes in BUCKET_MINUTES]
_STEPS = list(zip([0, *_ENDS[:-1]], _ENDS, strict=True))  # of each lead bucket
_ALONE = np.array([1, 0, 0, 0], np.float32)  # the shares of the model without a race
_BLOCK = 128  # rows that are in the processor's cache at once
ALL_STEPS = slice(0, HORIZON_STEPS)

_LOWEST = np.array([m.lowest for m in METRICS], np.float32)
_HIGHEST = np.array([np.inf if m.highest is None else m.highest for m in METRICS], np.float32)

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a model's own quantiles become when they are served; leading shape S, NaN is NULL.

    Rows have S = [k], dense arrays S = [n, 14].
    """

    widths: Floats  # [*S, 3, 3] factors on the distance from the median, by bucket and band
    weights: Floats  # [*S, 3, 4] shares of CANDIDATES by bucket; NaN: the model alone
    context: Floats  # [*S, 7] quantiles of the 24 h before
    seasonal: Floats  # [*S, 96] values 24 h before
    seasonal_band: Floats  # [*S, 3, 7] what is added to them
    last_band: Floats  # [*S, 3, 7] quantiles around the last value

    @classmethod
    def empty(cls, *shape: int) -> "Recipe":
        """Return the recipe of leading shape S that serves the model's own quantiles."""
        return cls(*(np.full((*shape, *each), np.nan, np.float32) for each in _SHAPES.values()))

    @staticmethod
    def sizes() -> dict[str, int]:
        """Return the length of the list that each field has as a column of `forecasts`."""
        return {name: int(np.prod(shape)) for name, shape in _SHAPES.items()}

    @classmethod
    def from_flat(cls, columns: dict[str, Floats]) -> "Recipe":
        """Return the recipe of k rows, from its columns as [k, size] arrays.

        `seasonal` may have a part of the 96 steps.
        """
        shapes = _SHAPES | {"seasonal": columns["seasonal"].shape[1:]}
        return cls(*(columns[name].reshape(-1, *shape) for name, shape in shapes.items()))

    def at(self, index: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> "Recipe":
        """Return the part of it that `index` chooses along S."""
        return Recipe(*(getattr(self, f.name)[index] for f in fields(self)))


def served(raw: Floats, recipe: Recipe) -> Floats:
    """Return what is served for a model's quantiles `raw` [n, 96, 14, 7], of the same shape.

    `recipe` has leading shape [n, 14]. NaN stays NaN.
    """
    rows = raw.swapaxes(1, 2).reshape(-1, HORIZON_STEPS, len(QUANTILES))
    blended = served_rows(rows, _as_rows(recipe), *_bounds(len(raw)))
    return _as_dense(blended, len(raw))


def candidates(raw: Floats, recipe: Recipe) -> Floats:
    """Return the four forecasts that are blended, [4, n, 96, 14, 7], in the order of CANDIDATES.

    NaN where the recipe does not have one.
    """
    rows = raw.swapaxes(1, 2).reshape(-1, HORIZON_STEPS, len(QUANTILES))
    four = candidate_rows(rows, _as_rows(recipe), *_bounds(len(raw)))
    return np.stack([_as_dense(each, len(raw)) for each in four])


def served_rows(
    raw: Floats, recipe: Recipe, lowest: Floats, highest: Floats, steps: slice = ALL_STEPS
) -> Floats:
    """Return what is served for `raw` [k, 96, 7]: one forecast a row, of any metric.

    `lowest` and `highest` [k] bound the values. A row without widths and weights is returned as it
    is. `raw` and the recipe's seasonal values may have a part of the 96 steps: those of `steps`.
    """
    changed = np.isfinite(recipe.widths).any((1, 2)) | np.isfinite(recipe.weights).any((1, 2))
    result = np.array(raw, np.float32)
    places = np.flatnonzero(changed)
    for start in range(0, len(places), _BLOCK):
        rows = places[start : start + _BLOCK]
        result[rows] = _blend(raw[rows], recipe.at(rows), lowest[rows], highest[rows], steps)
    return result


def candidate_rows(
    raw: Floats, recipe: Recipe, lowest: Floats, highest: Floats, steps: slice = ALL_STEPS
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return the four candidates of `raw` [k, 96, 7], each of that shape; NaN where there is none.

    `lowest` and `highest` [k] bound the values. `raw` and the recipe's seasonal values may have a
    part of the 96 steps: those of `steps`.
    """
    low, high = lowest[:, None, None], highest[:, None, None]
    context = np.broadcast_to(recipe.context[:, None], raw.shape)
    seasonal = recipe.seasonal[:, :, None] + recipe.seasonal_band[:, BUCKET_OF_STEP[steps]]
    last = recipe.last_band[:, BUCKET_OF_STEP[steps]]
    calibrated = np.empty_like(raw)
    for bucket, places in _by_bucket(steps):
        part = np.ascontiguousarray(raw[:, places].transpose(2, 0, 1))
        calibrated[:, places] = _calibrated(part, recipe.widths[:, bucket]).transpose(1, 2, 0)
    bounded = [np.clip(each, low, high) for each in (calibrated, context, seasonal, last)]
    return bounded[0], bounded[1], bounded[2], bounded[3]


def _calibrated(raw: Floats, widths: Floats) -> Floats:
    """Return `raw` [7, k, steps] with its distances from the median times `widths` [k, 3].

    A wider band never ends inside of a narrower one.
    """
    factors = np.where(np.isnan(widths), np.float32(1), widths)
    result = np.empty_like(raw)
    result[MEDIAN] = raw[MEDIAN]
    for side in (1, -1):
        distance = np.zeros_like(raw[MEDIAN])
        for q in range(MEDIAN + side, MEDIAN + 4 * side, side):
            own = raw[q] - raw[MEDIAN]
            own *= side * factors[:, LEVEL_OF_QUANTILE[q], None]
            np.maximum(distance, own, out=distance)
            np.add(raw[MEDIAN], side * distance, out=result[q])
    return result


def _by_bucket(steps: slice) -> Iterator[tuple[int, slice]]:
    """Yield each lead bucket that occurs in `steps`, and its places among them."""
    for bucket, (first, last) in enumerate(_STEPS):
        begin, end = max(first, steps.start) - steps.start, min(last, steps.stop) - steps.start
        if begin < end:
            yield bucket, slice(begin, end)


def _blend(raw: Floats, recipe: Recipe, lowest: Floats, highest: Floats, steps: slice) -> Floats:
    """Return the blend [k, 96, 7] of k rows, one lead bucket after the other."""
    low, high = lowest[:, None], highest[:, None]
    result = np.empty_like(raw)
    for bucket, places in _by_bucket(steps):
        part = np.ascontiguousarray(raw[:, places].transpose(2, 0, 1))  # [7, k, steps]
        part = np.clip(_calibrated(part, recipe.widths[:, bucket]), low, high)
        shares = recipe.weights[:, bucket]
        shares = np.where(np.isnan(shares), _ALONE, shares)
        if (shares[:, 0] < 1).any():
            part *= shares[:, 0, None]
            part += _constant(recipe, bucket, shares, low, high).T[:, :, None]
            _add_seasonal(part, recipe, (bucket, places), shares[:, 2], low, high)
        result[:, places] = part.transpose(1, 2, 0)
    return result


def _constant(recipe: Recipe, bucket: int, shares: Floats, low: Floats, high: Floats) -> Floats:
    """Return the parts [k, 7] of the candidates that are the same at each step of a bucket."""
    total = np.zeros_like(recipe.context)
    for share, quantiles in (
        (shares[:, 1], recipe.context),
        (shares[:, 3], recipe.last_band[:, bucket]),
    ):
        term = np.clip(quantiles, low, high) * share[:, None]
        total += np.where(share[:, None] > 0, term, np.float32(0))
    return total


def _add_seasonal(
    part: Floats, recipe: Recipe, where: tuple[int, slice], share: Floats, low: Floats, high: Floats
) -> None:
    """Add the seasonal candidate to the rows of `part` [7, k, steps] in which it has a share."""
    bucket, places = where
    rows = np.flatnonzero(share > 0)
    yesterday = recipe.seasonal[rows][:, places]
    for q, band in enumerate(recipe.seasonal_band[rows, bucket].T):
        term = np.clip(yesterday + band[:, None], low[rows], high[rows])
        part[q, rows] += term * share[rows, None]


def _bounds(servers: int) -> tuple[Floats, Floats]:
    return np.tile(_LOWEST, servers), np.tile(_HIGHEST, servers)


def _as_rows(recipe: Recipe) -> Recipe:
    flat = (getattr(recipe, name).reshape(-1, *shape) for name, shape in _SHAPES.items())
    return Recipe(*flat)


def _as_dense(rows: Floats, servers: int) -> Floats:
    dense = rows.reshape(servers, len(METRICS), HORIZON_STEPS, len(QUANTILES))
    return np.ascontiguousarray(dense.swapaxes(1, 2))
