"""Rows of `forecasts` as arrays: the model's own quantiles, the recipe, and what was served."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from storage.model.grid import HORIZON_STEPS, QUANTILE_COLUMNS
from storage.model.metrics import METRICS
from storage.model.served import Recipe, candidate_rows, served_rows

__all__ = ["RECIPE_COLUMNS", "ForecastRows", "forecast_rows", "list_matrix"]

RECIPE_COLUMNS: tuple[str, ...] = tuple(Recipe.sizes())
_BOUNDS = {m.name: (m.lowest, np.inf if m.highest is None else m.highest) for m in METRICS}

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ForecastRows:
    """k rows of `forecasts`, in their order."""

    raw: Floats  # [k, 96, 7] the model's own quantiles; NaN where there are none
    recipe: Recipe  # leading shape [k]
    lowest: Floats  # [k] bounds of the row's metric
    highest: Floats  # [k]

    def served(self) -> Floats:
        """Return the quantiles [k, 96, 7] as they were served, or would have been."""
        return served_rows(self.raw, self.recipe, self.lowest, self.highest)

    def candidates(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Return the four that are blended, each [k, 96, 7]; NaN where there is none."""
        return candidate_rows(self.raw, self.recipe, self.lowest, self.highest)


def forecast_rows(rows: pa.Table) -> ForecastRows:
    """Return rows of `forecasts` with the columns metric, p02 to p98 and RECIPE_COLUMNS as arrays.

    Quantiles of another length than 96 steps are NaN.
    """
    raw = np.stack([list_matrix(rows[name], HORIZON_STEPS) for name in QUANTILE_COLUMNS], axis=-1)
    recipe = Recipe.from_flat({n: list_matrix(rows[n], size) for n, size in Recipe.sizes().items()})
    bounds = [_BOUNDS.get(name, (-np.inf, np.inf)) for name in rows["metric"].to_pylist()]
    low, high = np.array(bounds, np.float32).reshape(-1, 2).T
    return ForecastRows(raw, recipe, low, high)


def list_matrix(column: pa.ChunkedArray, size: int) -> Floats:
    """Return a column of lists as [k, size]; NaN where a list is NULL or of another length."""
    lists = column.combine_chunks()
    whole = pc.fill_null(pc.equal(pc.list_value_length(lists), size), False)
    result = np.full((len(lists), size), np.nan, np.float32)
    flat = lists.filter(whole).flatten().to_numpy(zero_copy_only=False)
    result[np.asarray(whole)] = np.asarray(flat, np.float32).reshape(-1, size)
    return result
