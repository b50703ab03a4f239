"""One server with readings and a forecast to order, and its risk."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from functions.rules.risk_score import FleetState, Risk, assess
from storage.model.grid import HORIZON_STEPS, QUANTILES
from storage.model.metrics import METRIC_NAMES
from storage.model.profiles import levels_for

NOW = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)


NORMAL = np.array([-2.05, -1.28, -0.67, 0.0, 0.67, 1.28, 2.05])


CALM = {
    "cpu_user_pct": 15, "cpu_sys_pct": 5, "cpu_iowait_pct": 1, "cpu_idle_pct": 79,
    "java_cpu_pct": 10, "mem_used_pct": 40, "swap_used_pct": 1, "disk_usage_pct": 40,
    "net_in_mb_s": 10, "net_out_mb_s": 10, "back_close_wait": 2, "front_close_wait": 2,
    "load_average": 1, "uptime_days": 50,
}  # fmt: skip


def column(name: str) -> int:
    return METRIC_NAMES.index(name)


def row(values: Mapping[str, float], default: Mapping[str, float] | float = 0.0) -> np.ndarray:
    filled = default if isinstance(default, Mapping) else dict.fromkeys(METRIC_NAMES, default)
    return np.array([{**filled, **values}[name] for name in METRIC_NAMES], dtype=float)


def server(profile: str = "generic", climbing: Any = None, **readings: Any) -> FleetState:
    """One server of 8 cores without a forecast; `climbing` is in units per hour."""
    latest = row(readings, CALM)
    hours = (np.arange(6) - 5)[:, None] / 12
    recent = latest + hours * row(climbing or {})
    none = np.full((1, HORIZON_STEPS, len(METRIC_NAMES), len(QUANTILES)), np.nan)
    return FleetState([profile], [8], recent[None], latest[None], np.array([3.0]), none, [None])


def with_forecast(
    fleet: FleetState,
    climbing: Mapping[str, float] | None = None,
    spread: float = 1.0,
    age_minutes: int = 0,
) -> FleetState:
    hours = np.arange(HORIZON_STEPS)[:, None] / 12
    median = fleet.latest[0] + hours * row(climbing or {})
    quantiles = median[..., None] + spread * NORMAL
    issued_at = NOW - timedelta(minutes=age_minutes)
    return replace(fleet, quantiles=quantiles[None], issued_at=[issued_at])


def with_odds(name: str, p: float, from_minute: int) -> FleetState:
    """A calm server of which `name` passes its critical level with odds `p` from a lead on."""
    fleet = with_forecast(server(), spread=0.01)
    level = levels_for("generic", 8)[name].critical
    first = from_minute // 5 - 1
    # The one point of a straight quantile function that puts `p` above the level.
    rest = level + 0.1 * (np.array(QUANTILES) - (1 - p))
    fleet.quantiles[0, first:, column(name), :] = rest
    return fleet


def risk_of(fleet: FleetState) -> Risk:
    return assess(fleet, NOW)[0]
