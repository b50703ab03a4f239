import numpy as np
import pytest

from functions.rules.fleet_state import NAMES, bands_of, judged
from functions.rules.odds.recovery import recovery_shift
from tests.functions.rules.risk_scenes import server, with_forecast

MEMORY = NAMES.index("mem_used_pct")
STEP = np.array([0])


def shift(was: float, forecast: float, reads: float) -> float:
    """What is added to a forecast of memory that was at `was` and now reads `reads`."""
    fleet = with_forecast(server(mem_used_pct=forecast))
    recent = np.full((1, 12, len(NAMES)), np.nan)
    recent[0, :, MEMORY] = was
    readings = judged(server(mem_used_pct=reads).latest)
    bands = bands_of(fleet.profiles, fleet.cores)
    shifts = recovery_shift(fleet.quantiles, readings, recent, bands, STEP)
    assert np.count_nonzero(shifts) <= 1
    return float(shifts[0, MEMORY])


@pytest.mark.parametrize(
    ("was", "forecast", "reads", "expected"),
    [
        (99.0, 99.0, 40.0, -59.0),  # recovered: the median becomes what it reads
        (99.0, 99.0, 98.5, 0.0),  # still at its level
        (99.0, 97.0, 97.5, 0.0),  # below it as was forecast
        (70.0, 99.0, 40.0, 0.0),  # it never was there: the forecast sees it come
        (99.0, 99.0, float("nan"), 0.0),
    ],
)
def test_a_forecast_moves_only_after_a_recovery_that_it_did_not_know(
    was, forecast, reads, expected
):
    assert shift(was, forecast, reads) == pytest.approx(expected)
