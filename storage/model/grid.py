"""Time grid of the model: 24 h of context and 8 h of horizon in 5-minute steps."""

import hashlib
import json
from datetime import datetime, timedelta

from storage.model.metrics import METRICS
from storage.model.profiles import PROFILES

__all__ = [
    "BAND_LEVELS",
    "BUCKET_MINUTES",
    "CONTEXT_STEPS",
    "HORIZON_STEPS",
    "LEAD_MINUTES",
    "MIN_CONTEXT_STEPS",
    "QUANTILES",
    "QUANTILE_COLUMNS",
    "STEP",
    "STEP_MINUTES",
    "floor_step",
    "schema_hash",
]

STEP_MINUTES = 5
STEP = timedelta(minutes=STEP_MINUTES)
CONTEXT_STEPS = 288
HORIZON_STEPS = 96
MIN_CONTEXT_STEPS = 12  # one hour
QUANTILES: tuple[float, ...] = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)
QUANTILE_COLUMNS: tuple[str, ...] = tuple(f"p{round(q * 100):02d}" for q in QUANTILES)
LEAD_MINUTES: tuple[int, ...] = (30, 60, 120, 240, 480)
# Ends of the lead buckets by which forecasts are scored, calibrated and weighted, in minutes.
BUCKET_MINUTES: tuple[int, ...] = (60, 240, 480)
# The central bands that the quantiles make, in percent, innermost first.
BAND_LEVELS: tuple[int, ...] = (50, 80, 96)


def floor_step(ts: datetime) -> datetime:
    """The start of the 5-minute step that contains `ts` (with a time zone)."""
    seconds = int(ts.timestamp())
    return ts - timedelta(seconds=seconds % (STEP_MINUTES * 60), microseconds=ts.microsecond)


def schema_hash() -> str:
    """Hash of the contract between a model and the lake: metrics, grid, quantiles, profiles."""
    contract = {
        "metrics": [(m.name, m.unit) for m in METRICS],
        "grid": [STEP_MINUTES, CONTEXT_STEPS, HORIZON_STEPS],
        "quantiles": QUANTILES,
        "profiles": [p.name for p in PROFILES],
    }
    return hashlib.sha256(json.dumps(contract, sort_keys=True).encode()).hexdigest()[:16]
