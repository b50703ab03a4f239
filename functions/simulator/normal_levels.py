"""Normal levels: mean and deviation of each metric per profile, and the activity over a week."""

import numpy as np

from functions.simulator.rng import Floats
from storage.model.profiles import PROFILE_NAMES

__all__ = ["COLUMNS", "MEANS", "SPREADS", "WEEK"]

COLUMNS = (
    "user", "sys", "iowait", "java", "mem", "swap", "disk",
    "net_in", "net_out", "back", "front", "load",
)  # fmt: skip

# Mean ± deviation between servers, in the order of COLUMNS; the first seven are percentages.
_BASELINES = {
    "ml_compute": "45±12 8±3 2±1 50±15 72±10 5±3 55±8 8.5±3 5.2±2 2±1 2±1 6.5±2",
    "database": "25±8 12±4 15±5 10±5 68±10 3±2 70±10 35±12 28±10 8±3 6±2 4.2±1.5",
    "web_api": "18±6 5±2 3±2 25±8 45±10 2±1 35±8 85±25 120±35 15±5 12±4 2.8±1",
    "conductor_mgmt": "15±6 6±2 2±1 20±6 42±8 2±1 40±8 22±8 18±6 5±2 4±2 3.2±1.2",
    "data_ingest": "35±10 10±3 8±3 45±12 62±12 4±2 65±12 150±45 95±30 10±4 8±3 5.5±2",
    "risk_analytics": "55±15 8±3 2±1 60±15 70±10 5±3 50±10 12±4 8±3 3±1 2±1 8.2±2.5",
    "generic": "12±5 4±2 1±1 8±3 35±8 1±1 30±8 15±8 12±6 2±1 2±1 1.5±.8",
}

_TABLE = np.array(
    [
        [[float(part) for part in cell.split("±")] for cell in _BASELINES[name].split()]
        for name in PROFILE_NAMES
    ],
    dtype=np.float32,
)

MEANS: Floats = _TABLE[:, :, 0]  # [profiles, COLUMNS]
SPREADS: Floats = _TABLE[:, :, 1]

_WEEKEND = {"ml_compute": 0.95, "database": 0.8, "web_api": 0.75, "risk_analytics": 0.6}


def _week(profile: str) -> list[float]:
    """Activity at each full hour of the week, from Monday 0 h to the next Monday 0 h."""
    day = np.repeat([0.8, 1.0, 1.1, 1.2, 1.0], [7, 2, 7, 3, 5])
    hours = np.arange(24)
    if profile == "ml_compute":
        day = day * np.where((hours < 7) | (hours >= 19), 1.15, 1.0)
    if profile == "web_api":
        day = day * np.where((hours < 7) | (hours >= 20), 0.6, 1.0)
    if profile == "risk_analytics":
        day = day * np.where((hours >= 16) & (hours < 19), 1.3, 1.0)
    weekend = day * _WEEKEND.get(profile, 0.85)
    return [*day, *day, *day, *day, *day, *weekend, *weekend, day[0]]


WEEK: Floats = np.array([_week(name) for name in PROFILE_NAMES], dtype=np.float32)  # [7, 169]
