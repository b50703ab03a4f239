"""Recovery: what a metric that has left its critical level says of a forecast made before.

A forecast is new every 5 minutes, a sample every few seconds. Where a metric was at its level
within the last hour and now reads below the whole band of the forecast, the forecast did not know
of the recovery: it is moved down until its median is what the metric reads.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from functions.rules.fleet_state import JUDGED, Bands, Floats, judged_quantiles
from storage.model.grid import HORIZON_STEPS, QUANTILES

__all__ = ["recovery_shift"]

_MEDIAN: Final = QUANTILES.index(0.5)


def recovery_shift(
    quantiles: Floats,
    readings: Floats,
    recent: Floats,
    bands: Bands,
    step: npt.NDArray[np.integer[Any]],
) -> Floats:
    """Return what to add to the forecasts [n, judged], signed: 0, or less after a recovery.

    `quantiles` [n, 96, 14, 7] as served; `readings` [n, judged] and `recent` [n, steps, judged]
    signed, NaN if missing; `step` [n] is the step of the forecast that is under way.
    """
    at = np.clip(step, 0, HORIZON_STEPS - 1)[:, None, None]
    shifts = []
    for j in range(len(JUDGED)):
        now = np.take_along_axis(judged_quantiles(quantiles, j), at, axis=1)[:, 0]
        reading, level = readings[:, j], bands.critical[:, j]
        was_there = (recent[..., j] >= level[:, None]).any(axis=1)
        recovered = was_there & (reading < level) & (reading < now[:, 0])
        shifts.append(np.where(recovered, reading - now[:, _MEDIAN], 0.0))
    return np.stack(shifts, axis=1)
