"""Settings of metrics: those of the user, and the highest possible values of the others."""

import re
from typing import Literal

import msgspec

from storage.model.metrics import LARGEST, METRIC_NAMES, METRICS, Levels, Metric

__all__ = ["MetricSettings", "check_limit", "stock_limits"]

METRIC_NAME = re.compile(r"[a-z][a-z0-9_]{0,49}")
# Names of columns that the tables have already.
RESERVED_NAMES = frozenset({"server", "ts", "source", *METRIC_NAMES})
ROLLUP_SUFFIXES = ("_mean", "_max", "_count")


class MetricSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An additional metric: stored, validated and rolled up, but not forecast."""

    name: str
    unit: str = ""
    label: str = ""
    meaning: str = ""
    kind: Literal["gauge", "rate", "count", "counter"] = "gauge"
    lowest: float = 0.0
    highest: float | None = None
    bad_when: Literal["high", "low"] | None = None
    warn: float | None = None
    critical: float | None = None

    def __post_init__(self) -> None:
        if not METRIC_NAME.fullmatch(self.name) or self.name.endswith(ROLLUP_SUFFIXES):
            raise ValueError(
                f"name is {self.name!r}, expected lower-case letters, digits and _, for example "
                f"'gpu_used_pct', not ending in {', '.join(ROLLUP_SUFFIXES)}"
            )
        if self.name in RESERVED_NAMES:
            raise ValueError(f"name is {self.name!r}, which is reserved: choose another")
        if self.highest is not None and self.highest <= self.lowest:
            raise ValueError(
                f"highest of {self.name} is {self.highest:g}, expected more than {self.lowest:g}"
            )
        if (self.warn is None) != (self.critical is None):
            raise ValueError(f"{self.name} has one of warn and critical, expected both or none")

    def metric(self) -> Metric:
        """These settings as a metric."""
        levels = None
        if self.warn is not None and self.critical is not None:
            levels = Levels(self.warn, self.critical)
        return Metric(
            self.name, self.label or self.name, self.unit, self.kind, self.highest, self.bad_when,
            self.meaning or self.label or self.name, levels, self.lowest,
        )  # fmt: skip


def stock_limits() -> dict[str, float]:
    """Return the highest possible value of each stock metric that has no natural one."""
    return {m.name: m.limit for m in METRICS if m.limit is not None}


def check_limit(name: str, limit: float) -> None:
    """Raise ValueError for a metric that has no such limit, and for one that is not over 0."""
    if name not in stock_limits():
        known = ", ".join(stock_limits())
        raise ValueError(
            f"limits has {name!r}, expected one of {known}; a percentage ends at 100, and a metric "
            "of your own has 'highest' in [[metrics]]"
        )
    if not 0 < limit <= LARGEST:
        raise ValueError(f"limits.{name} is {limit:g}, expected a number over 0")
