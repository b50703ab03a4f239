"""The 14 metrics of a server, from which the schema, SQL, validation and docs derive."""

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
    """The values from which a metric is shown as a warning and as critical."""

    warn: float
    critical: float


@dataclass(frozen=True, slots=True)
class Precision:
    """Precision of stored values: multiples of `step`, or `bits` significant bits.

    Steps are powers of two, so that stored values end in zero bits, which compress well.
    """

    step: float | None = None
    bits: int | None = None

    def __str__(self) -> str:
        """As text, for the schema."""
        return f"to 1/{1 / self.step:g}" if self.step else f"to 1 part in {1 << (self.bits or 0)}"


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric: its unit, its valid range, and in which direction it is bad."""

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
        """The reason why `value` is not valid for this metric; None if it is valid."""
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
        """The valid range as text: `0–100` or `≥ 0`."""
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


# Values in hundredths survive rounding to 1/128. Rates over a few seconds are not known to 1 part
# in 4096, nor uptimes to less than the 5 s between samples.
_PRECISION = {
    "gauge": Precision(step=1 / 128),
    "rate": Precision(bits=12),
    "count": None,
    "counter": Precision(step=1 / 16384),
}

# No model is more precise than that.
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

# Metrics that are scored together; uptime is not scored.
GROUPS: dict[str, tuple[str, ...]] = {
    "CPU": ("cpu_user_pct", "cpu_sys_pct", "cpu_iowait_pct", "cpu_idle_pct", "java_cpu_pct"),
    "memory and disk": ("mem_used_pct", "swap_used_pct", "disk_usage_pct"),
    "network": ("net_in_mb_s", "net_out_mb_s"),
    "sockets": ("back_close_wait", "front_close_wait"),
    "load": ("load_average",),
}

_BY_NAME = {m.name: m for m in METRICS}


def metric(name: str) -> Metric:
    """The metric called `name`. Raises KeyError, which names the existing ones."""
    try:
        return _BY_NAME[name]
    except KeyError:
        raise KeyError(f"no metric {name!r} (expected one of {', '.join(METRIC_NAMES)})") from None
