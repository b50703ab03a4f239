"""Incident kinds: how long each takes, which metrics it drives, and how likely it is where."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storage.model.profiles import PROFILE_NAMES

__all__ = ["KINDS", "KIND_NAMES", "MINUTES", "RUSHED", "USUAL", "IncidentKind", "Share"]

Share = NDArray[np.float64]
Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class IncidentKind:
    """A kind of incident: ranges of the minutes it grows, lasts and recovers, and its targets.

    `targets` are the levels at full depth, by channel: `busy`, `mem` and `disk` in %; `iowait`,
    `back`, `front` and `load` in multiples of the critical level; `net_in` and `net_out` in
    multiples of the traffic without the incident. `curve` is 0 for linear growth and 1 for
    quadratic growth. `metrics` are those it affects, the worst first.
    """

    name: str
    grows: Span
    lasts: Span
    recovers: Span
    targets: dict[str, float]
    curve: float
    metrics: tuple[str, ...]


KINDS: tuple[IncidentKind, ...] = (
    IncidentKind(
        "memory_leak", (120, 480), (20, 60), (5, 10), {"mem": 99.9, "busy": 72}, 0.1,
        ("mem_used_pct", "swap_used_pct", "cpu_iowait_pct", "load_average"),
    ),
    IncidentKind(
        "disk_filling", (360, 1200), (30, 120), (5, 15), {"disk": 98, "iowait": 0.35}, 0.0,
        ("disk_usage_pct",),
    ),
    IncidentKind(
        "iowait_rising", (45, 180), (20, 60), (15, 30), {"iowait": 1.5, "load": 1.05}, 0.5,
        ("cpu_iowait_pct", "load_average"),
    ),
    IncidentKind(
        "connection_leak", (60, 240), (20, 60), (3, 8), {"back": 1.5, "front": 0.5, "mem": 70}, 0.4,
        ("back_close_wait", "front_close_wait", "mem_used_pct"),
    ),
    IncidentKind(
        "traffic_surge", (25, 75), (20, 60), (20, 45),
        {"busy": 99.2, "load": 1.2, "net_in": 4, "net_out": 4, "front": 0.6, "back": 0.4}, 0.2,
        ("cpu_idle_pct", "cpu_user_pct", "load_average", "net_in_mb_s", "net_out_mb_s",
         "front_close_wait", "back_close_wait"),
    ),
    IncidentKind(
        "end_of_day_overload", (60, 120), (45, 90), (30, 60),
        {"busy": 99.3, "load": 1.2, "mem": 86, "net_in": 1.6, "net_out": 1.6}, 0.1,
        ("cpu_idle_pct", "cpu_user_pct", "java_cpu_pct", "load_average", "mem_used_pct"),
    ),
    IncidentKind(
        "database_failure", (20, 50), (15, 30), (15, 30),
        {"iowait": 1.7, "load": 1.4, "back": 0.8, "front": 0.8, "net_in": 0.3, "net_out": 0.3}, 0.4,
        ("cpu_iowait_pct", "load_average", "back_close_wait", "front_close_wait",
         "net_in_mb_s", "net_out_mb_s"),
    ),
    IncidentKind(
        "cascade_victim", (5, 10), (15, 30), (10, 20),
        {"back": 1.5, "front": 1.2, "load": 1.1, "busy": 85, "mem": 72, "net_in": 0.7,
         "net_out": 0.35}, 0.2,
        ("back_close_wait", "front_close_wait", "load_average", "net_out_mb_s", "net_in_mb_s"),
    ),
)  # fmt: skip

KIND_NAMES: tuple[str, ...] = tuple(kind.name for kind in KINDS)

# [kinds, (grows, lasts, recovers), (least, most)]
MINUTES: Share = np.array([[kind.grows, kind.lasts, kind.recovers] for kind in KINDS])

# Relative frequency of the kinds per profile; cascade victims follow their database instead.
_USUAL = {
    "ml_compute": {"memory_leak": 5, "disk_filling": 2, "iowait_rising": 2, "traffic_surge": 1},
    "database": {
        "iowait_rising": 4, "disk_filling": 3, "database_failure": 2, "connection_leak": 1,
    },
    "web_api": {"traffic_surge": 4, "connection_leak": 3, "memory_leak": 2, "disk_filling": 1},
    "conductor_mgmt": {"memory_leak": 3, "disk_filling": 2, "connection_leak": 2,
                       "traffic_surge": 1},
    "data_ingest": {"traffic_surge": 3, "iowait_rising": 3, "disk_filling": 3, "memory_leak": 1},
    "risk_analytics": {"end_of_day_overload": 6, "memory_leak": 3, "disk_filling": 1},
    "generic": {"disk_filling": 2, "memory_leak": 2, "iowait_rising": 2, "traffic_surge": 1},
}  # fmt: skip

# Kinds for short rounds: no growth over many hours and no fixed hour of the day.
_CRITICAL = {
    profile: {"iowait_rising": 1, "traffic_surge": 1}
    if profile == "database"
    else {"memory_leak": 1, "traffic_surge": 1}
    for profile in PROFILE_NAMES
}

_REPLACED = {"end_of_day_overload": "traffic_surge", "database_failure": "iowait_rising"}


def _cumulative(weights: dict[str, dict[str, int]]) -> Share:
    """Probabilities as [profiles, kinds], each row cumulative up to 1."""
    table = np.array(
        [[weights[profile].get(kind, 0) for kind in KIND_NAMES] for profile in PROFILE_NAMES],
        dtype=np.float64,
    )
    return np.cumsum(table / table.sum(axis=1, keepdims=True), axis=1)


def _degrading() -> dict[str, dict[str, int]]:
    return {
        profile: {_REPLACED.get(kind, kind): weight for kind, weight in weights.items()}
        | ({"iowait_rising": 6} if profile == "database" else {})
        for profile, weights in _USUAL.items()
    }


USUAL: Share = _cumulative(_USUAL)
RUSHED: dict[str, Share] = {
    "degrading": _cumulative(_degrading()),
    "critical": _cumulative(_CRITICAL),
    "cascade": _cumulative({profile: {"database_failure": 1} for profile in PROFILE_NAMES}),
}
