"""The 14 metrics of a server, from which the schema, SQL, validation and docs derive."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

__all__ = [
    "FORECAST_PRECISION", "GROUPS", "LARGEST", "METRICS", "METRIC_NAMES", "Levels", "Metric",
    "Precision", "RangeCheck", "check_range", "metric",
]  # fmt: skip

LARGEST = 3.4e38  # readings are stored as 32-bit floats
ROUNDING = 1e-6  # how much of its value a conversion of units may add
TOLERANCE = 0.01  # of the range between two bounds: how far outside it a value is clamped


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
    """A metric: its unit, its valid range, and in which direction it is bad.

    `highest` is the end of its scale, such as 100 %. Where it has none, `limit` is the largest
    value that can be true: more is taken for another unit.
    """

    name: str
    label: str
    unit: str
    kind: Literal["gauge", "rate", "count", "counter"]
    highest: float | None
    bad_when: Literal["high", "low"] | None
    meaning: str
    levels: Levels | None = None

    lowest: float = 0.0
    limit: float | None = None
    precision: Precision | None = None  # None: as it came

    def refusal(self, value: float) -> str | None:
        """The reason why `value` is not valid for this metric; None if it is valid or clamped."""
        if not check_range(self, np.array([value]), np.array([False])).impossible[0]:
            return None
        if value != value:
            return f"{self.name}: NaN is not a reading; send NULL for a missing value"
        if value == float("inf") and self.highest is None:
            return f"{self.name}: infinity is not a reading; send NULL for a missing value"
        remedy = f": {self.remedy}" if self.remedy else ""
        return f"{self.name}: {self.shown(value)} lies outside {self.valid_range}{remedy}"

    @property
    def bounds(self) -> tuple[float, float]:
        """The lowest and the highest value that can be stored as a reading."""
        if self.highest is not None:
            return self.lowest, self.highest
        return self.lowest, LARGEST if self.limit is None else self.limit

    @property
    def tolerance(self) -> float:
        """How far outside its range a value is clamped to the bound: less than 1 % of the range.

        0 for a metric without a scale: a reading cannot saturate at its limit.
        """
        return 0.0 if self.highest is None else TOLERANCE * (self.highest - self.lowest)

    @property
    def valid_range(self) -> str:
        """The valid range as text: `0–100` or `≥ 0`."""
        lowest, highest = self.bounds
        return f"≥ {lowest:g}" if highest == LARGEST else f"{lowest:g}–{highest:.10g}"

    @property
    def remedy(self) -> str:
        """What to do about values above `limit`; empty for a metric with a scale or without it."""
        if self.limit is None or self.highest is not None:
            return ""
        return f"check the unit, or raise limits.{self.name} in hoursight.toml if it is true"

    @property
    def clamping(self) -> str:
        """What became of values just outside the range, for messages."""
        return f"less than 1 % outside {self.valid_range}, stored as the bound"

    def shown(self, value: float) -> str:
        """A value with its unit, for messages: `864000 days`, to as many digits as are stored."""
        number = f"{value:.0f}" if 1e6 <= abs(value) < 1e15 else f"{value:.7g}"
        return f"{number} {self.unit}".rstrip()


@dataclass(frozen=True, slots=True)
class RangeCheck:
    """Values [n] against a metric's range.

    `values` has the bound where one was `clamped` [n], and the value as it came where that is
    `impossible` [n].
    """

    values: npt.NDArray[Any]
    clamped: npt.NDArray[np.bool_]
    impossible: npt.NDArray[np.bool_]

    @property
    def possible(self) -> npt.NDArray[Any]:
        """The values [n], NaN for those that are impossible."""
        return np.where(self.impossible, np.nan, self.values)


def check_range(
    metric: Metric, values: npt.NDArray[Any], absent: npt.NDArray[np.bool_] | None = None
) -> RangeCheck:
    """Check values [n] against the range of a metric.

    `absent` [n] is True where there is no value; without it, NaN marks that. Else NaN is
    impossible. `Metric.refusal` says why a value is. What a conversion's rounding adds to a bound
    is taken off and does not count as clamped.
    """
    lowest, highest = metric.bounds
    with np.errstate(invalid="ignore"):
        outside = ~((values >= lowest) & (values <= highest))  # True for NaN
    outside &= ~(np.isnan(values) if absent is None else absent)
    nothing = np.zeros_like(outside)
    if not outside.any():
        return RangeCheck(values, nothing, nothing)
    nearest = np.clip(values, lowest, highest)
    with np.errstate(invalid="ignore"):
        distance = np.abs(values - nearest)
        rounded = outside & (distance <= ROUNDING * np.abs(nearest))
        clamped = outside & ~rounded & (distance < metric.tolerance)
    mended = np.where(rounded | clamped, nearest, values)
    return RangeCheck(mended, clamped, outside & ~rounded & ~clamped)


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

# What can be true: 800 Gbit/s, the fastest port there is; as many tasks as Linux can have; and less
# than the 20,000 days since 1970, which are sent where the time of the boot is not known.
MAX_TRAFFIC_MB_S = 100_000
MAX_LOAD = MAX_SOCKETS = 4_194_304
MAX_UPTIME_DAYS = 10_000

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
    Metric(
        "net_in_mb_s",
        "Network in",
        "MB/s",
        "rate",
        None,
        "high",
        "inbound traffic",
        limit=MAX_TRAFFIC_MB_S,
    ),
    Metric(
        "net_out_mb_s",
        "Network out",
        "MB/s",
        "rate",
        None,
        "high",
        "outbound traffic",
        limit=MAX_TRAFFIC_MB_S,
    ),
    Metric(
        "back_close_wait",
        "CLOSE_WAIT to back ends",
        "sockets",
        "count",
        None,
        "high",
        "CLOSE_WAIT sockets towards back ends",
        Levels(200, 1000),
        limit=MAX_SOCKETS,
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
        limit=MAX_SOCKETS,
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
        limit=MAX_LOAD,
    ),
    Metric(
        "uptime_days",
        "Uptime",
        "days",
        "counter",
        None,
        None,
        "days since boot; 0 is a reboot",
        limit=MAX_UPTIME_DAYS,
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
