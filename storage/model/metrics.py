"""The 14 metrics of a server: one table from which schemas, SQL, checks and docs derive."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

__all__ = [
    "FORECAST_PRECISION", "GROUPS", "LARGEST", "METRICS", "METRIC_NAMES", "Levels", "Metric",
    "Precision", "impossible", "metric", "without_rounding",
]  # fmt: skip

LARGEST = 3.4e38  # readings are stored as 32-bit floats
ROUNDING = 1e-6  # how much of its value a conversion of units may add


@dataclass(frozen=True, slots=True)
class Levels:
    """Where a reading starts to worry an operator (`warn`) and where it hurts (`critical`)."""

    warn: float
    critical: float


@dataclass(frozen=True, slots=True)
class Precision:
    """How finely readings are stored: as multiples of `step`, or with so many significant `bits`.

    Both are powers of two, so that what a file holds ends in zero bits, which compress.
    """

    step: float | None = None
    bits: int | None = None

    def __str__(self) -> str:
        """In words, for the schema."""
        return f"to 1/{1 / self.step:g}" if self.step else f"to 1 part in {1 << (self.bits or 0)}"


@dataclass(frozen=True, slots=True)
class Metric:
    """One column of the lake: its unit, the values that can be true, and what is bad about it."""

    name: str
    label: str
    unit: str
    kind: Literal["gauge", "rate", "count", "counter"]
    highest: float | None
    bad_when: Literal["high", "low"] | None
    meaning: str
    levels: Levels | None = None

    lowest: float = 0.0
    precision: Precision | None = None  # None: as it came

    def refusal(self, value: float) -> str | None:
        """Say why `value` cannot be a reading of this metric; None when it can."""
        if not impossible(self, np.array([value]), np.array([False]))[0]:
            return None
        if value != value:
            return f"{self.name}: NaN is not a reading; send NULL for a missing value"
        if value == float("inf") and self.highest is None:
            return f"{self.name}: infinity is not a reading; send NULL for a missing value"
        return f"{self.name}: {value:g} {self.unit} lies outside {self.valid_range}"

    @property
    def bounds(self) -> tuple[float, float]:
        """The lowest and the highest value that can be stored as a reading."""
        return self.lowest, LARGEST if self.highest is None else self.highest

    @property
    def valid_range(self) -> str:
        """The values that can be true, as people write them: `0–100` or `≥ 0`."""
        if self.highest is None:
            return f"≥ {self.lowest:g}"
        return f"{self.lowest:g}–{self.highest:g}"


def impossible(
    metric: Metric, values: npt.NDArray[Any], absent: npt.NDArray[np.bool_] | None = None
) -> npt.NDArray[np.bool_]:
    """Return a mask [n] that is True where a value [n] cannot be a reading of the metric.

    `absent` [n] is True where there is no value; without it, NaN marks that. Else NaN is
    impossible. `Metric.refusal` says why a value is.
    """
    lowest, highest = metric.bounds
    with np.errstate(invalid="ignore"):
        possible = (values >= lowest) & (values <= highest)  # False for NaN
    mask: npt.NDArray[np.bool_] = ~(possible | (np.isnan(values) if absent is None else absent))
    return mask


def without_rounding(metric: Metric, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """`values` [n] of a conversion, those that rounding put above the range brought down to it."""
    highest = metric.bounds[1]
    with np.errstate(invalid="ignore"):
        rounded_up = (values > highest) & (values <= highest * (1 + ROUNDING))
    return np.where(rounded_up, highest, values)


# A reading in hundredths is still that reading when it is rounded to hundredths again; a rate of a
# few seconds is not known to 1 part in 4096, nor an uptime to less than the 5 s between samples.
_PRECISION = {
    "gauge": Precision(step=1 / 128),
    "rate": Precision(bits=12),
    "count": None,
    "counter": Precision(step=1 / 16384),
}

# No model is as exact as that.
FORECAST_PRECISION = Precision(bits=12)

_MEASURED: tuple[Metric, ...] = (
    Metric("cpu_user_pct", "CPU in user space", "%", "gauge", 100, "high", "user-space CPU"),
    Metric("cpu_sys_pct", "CPU in kernel", "%", "gauge", 100, "high", "kernel CPU"),
    Metric(
        "cpu_iowait_pct",
        "I/O wait",
        "%",
        "gauge",
        100,
        "high",
        "CPU idle while waiting for disk",
        Levels(10, 30),
    ),
    Metric(
        "cpu_idle_pct",
        "CPU idle",
        "%",
        "gauge",
        100,
        "low",
        "idle CPU; people are shown CPU used = 100 − idle",
        Levels(10, 2),
    ),
    Metric(
        "java_cpu_pct",
        "Java CPU",
        "%",
        "gauge",
        100,
        "high",
        "CPU of JVM processes, normalised by core count",
    ),
    Metric(
        "mem_used_pct",
        "Memory used",
        "%",
        "gauge",
        100,
        "high",
        "RAM used: total less available",
        Levels(90, 98),
    ),
    Metric("swap_used_pct", "Swap used", "%", "gauge", 100, "high", "swap used", Levels(25, 50)),
    Metric(
        "disk_usage_pct",
        "Disk used",
        "%",
        "gauge",
        100,
        "high",
        "fullness of the fullest real volume",
        Levels(85, 95),
    ),
    Metric("net_in_mb_s", "Network in", "MB/s", "rate", None, "high", "inbound traffic"),
    Metric("net_out_mb_s", "Network out", "MB/s", "rate", None, "high", "outbound traffic"),
    Metric(
        "back_close_wait",
        "CLOSE_WAIT to back ends",
        "sockets",
        "count",
        None,
        "high",
        "CLOSE_WAIT sockets towards back ends",
        Levels(200, 1000),
    ),
    Metric(
        "front_close_wait",
        "CLOSE_WAIT to clients",
        "sockets",
        "count",
        None,
        "high",
        "CLOSE_WAIT sockets towards clients",
        Levels(200, 1000),
    ),
    Metric(
        "load_average",
        "Load",
        "load",
        "gauge",
        None,
        "high",
        "1-minute load average",
        Levels(8, 12),
    ),
    Metric(
        "uptime_days", "Uptime", "days", "counter", None, None, "days since boot; 0 is a reboot"
    ),
)

METRICS: tuple[Metric, ...] = tuple(replace(m, precision=_PRECISION[m.kind]) for m in _MEASURED)

METRIC_NAMES: tuple[str, ...] = tuple(m.name for m in METRICS)

# Metrics that are judged together; uptime needs no judging.
GROUPS: dict[str, tuple[str, ...]] = {
    "CPU": ("cpu_user_pct", "cpu_sys_pct", "cpu_iowait_pct", "cpu_idle_pct", "java_cpu_pct"),
    "memory and disk": ("mem_used_pct", "swap_used_pct", "disk_usage_pct"),
    "network": ("net_in_mb_s", "net_out_mb_s"),
    "sockets": ("back_close_wait", "front_close_wait"),
    "load": ("load_average",),
}

_BY_NAME = {m.name: m for m in METRICS}


def metric(name: str) -> Metric:
    """The metric called `name`; KeyError names the ones there are."""
    try:
        return _BY_NAME[name]
    except KeyError:
        raise KeyError(f"no metric {name!r}; there are {', '.join(METRIC_NAMES)}") from None
