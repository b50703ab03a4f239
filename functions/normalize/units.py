"""Units of source fields, and their factors to the units of metrics."""

from dataclasses import dataclass
from typing import Literal

from storage.model.metrics import Metric

__all__ = ["UNITS", "Unit", "fits", "scale"]

Dimension = Literal["share", "core share", "rate", "amount", "number", "time"]


@dataclass(frozen=True, slots=True)
class Unit:
    """A dimension, and the factor to percent, MB/s, MB, days or a number."""

    dimension: Dimension
    factor: float
    meaning: str


_MEGABYTE, _MEBIBYTE, _DAY_S = 1e-6, 1.048576, 86_400
UNITS: dict[str, Unit] = {
    "percent": Unit("share", 1, "0 to 100; also text such as '67% /mount'"),
    "fraction": Unit("share", 100, "0 to 1"),
    "core_percent": Unit("core share", 1, "percent summed over cores: divided by the cores"),
    "core_fraction": Unit("core share", 100, "a fraction summed over cores: divided by the cores"),
    "mb_s": Unit("rate", 1, "megabytes per second"),
    "mib_s": Unit("rate", _MEBIBYTE, "mebibytes (2^20) per second"),
    "kb_s": Unit("rate", 1e-3, "kilobytes per second"),
    "kib_s": Unit("rate", 1.024e-3, "kibibytes (2^10) per second"),
    "bytes_s": Unit("rate", _MEGABYTE, "bytes per second"),
    "mbit_s": Unit("rate", 1 / 8, "megabits per second"),
    "kbit_s": Unit("rate", 1e-3 / 8, "kilobits per second"),
    "bits_s": Unit("rate", _MEGABYTE / 8, "bits per second"),
    "mb": Unit("amount", 1, "megabytes"),
    "kb": Unit("amount", 1e-3, "kilobytes"),
    "bytes": Unit("amount", _MEGABYTE, "bytes"),
    "bits": Unit("amount", _MEGABYTE / 8, "bits"),
    "number": Unit("number", 1, "as it is: sockets, load"),
    "days": Unit("time", 1, "days"),
    "hours": Unit("time", 1 / 24, "hours"),
    "s": Unit("time", 1 / _DAY_S, "seconds"),
    "ms": Unit("time", 1e-3 / _DAY_S, "milliseconds"),
}

_STOCK = {"%": "percent", "MB/s": "mb_s", "days": "days"}
# With counter = true the difference of two readings is divided by the seconds between them.
_TAKES: dict[tuple[str, bool], tuple[str, ...]] = {
    ("%", False): ("share", "core share"),
    ("%", True): ("time",),
    ("MB/s", False): ("rate",),
    ("MB/s", True): ("amount",),
    ("days", False): ("time",),
}


def stock_unit(metric: Metric) -> str:
    """The unit of a field without one: that of its metric."""
    return _STOCK.get(metric.unit, "number")


def fits(metric: Metric, unit: str, counter: bool) -> tuple[str, ...]:
    """Return the units that a metric can be made of; nothing if `unit` is one of them."""
    taken = _TAKES.get((metric.unit, counter), ("number",) if metric.unit not in _STOCK else ())
    if UNITS[unit].dimension in taken:
        return ()
    return tuple(name for name, each in UNITS.items() if each.dimension in taken) or ("number",)


def scale(metric: Metric, unit: str, counter: bool) -> float:
    """Return the factor for a value in `unit`; of a `counter`, for its difference per second."""
    if counter and metric.unit == "%":  # seconds of CPU per second and core
        return 100 * _DAY_S * UNITS[unit].factor
    return UNITS[unit].factor
