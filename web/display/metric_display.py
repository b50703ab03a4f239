"""How each of the 14 metrics is displayed: order, label, unit and direction."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from storage.model.metrics import Levels, Metric, metric
from storage.model.profiles import levels_for

__all__ = [
    "INDICATORS", "METRIC_DISPLAYS", "MetricDisplay", "display_of", "displayed_levels",
    "displays_with_own",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class MetricDisplay:
    """Display of a metric; a `mirrored` percentage is displayed as 100 minus its value."""

    metric: Metric
    label: str
    short: str
    mirrored: bool = False

    @property
    def name(self) -> str:
        """The metric's column name in the lake."""
        return self.metric.name

    @property
    def unit(self) -> str:
        """The unit of the displayed value."""
        return self.metric.unit

    def value(self, measured: float | None) -> float | None:
        """Return the displayed value of a measured one."""
        return 100 - measured if self.mirrored and measured is not None else measured

    def band(self, value: float | None, levels: Mapping[str, Levels]) -> str:
        """Return the level that a displayed value has reached: `critical`, `warn` or empty."""
        own = levels.get(self.name)
        if value is None or own is None:
            return ""
        # A metric of the settings may be bad when it is low.
        sign = -1 if self.metric.bad_when == "low" and not self.mirrored else 1
        if sign * value >= sign * own.critical:
            return "critical"
        return "warn" if sign * value >= sign * own.warn else ""


def _display(name: str, short: str = "") -> MetricDisplay:
    known = metric(name)
    return MetricDisplay(known, known.label, short or known.label)


# The five of the fleet page, then the rest in the order in which operators usually check them.
INDICATORS: tuple[MetricDisplay, ...] = (
    MetricDisplay(metric("cpu_idle_pct"), "CPU used", "CPU", mirrored=True),
    _display("cpu_iowait_pct", "I/O wait"),
    _display("mem_used_pct", "Memory"),
    _display("swap_used_pct", "Swap"),
    _display("load_average", "Load"),
)
METRIC_DISPLAYS: tuple[MetricDisplay, ...] = (
    *INDICATORS,
    *(
        _display(name)
        for name in (
            "disk_usage_pct", "java_cpu_pct", "cpu_user_pct", "cpu_sys_pct", "net_in_mb_s",
            "net_out_mb_s", "back_close_wait", "front_close_wait", "uptime_days",
        )
    ),
)  # fmt: skip

_BY_NAME = {display.name: display for display in METRIC_DISPLAYS}


def display_of(name: str) -> MetricDisplay:
    """Return the display of the metric `name`; KeyError for an unknown name."""
    return _BY_NAME[name]


def displays_with_own(metrics: Iterable[Metric]) -> tuple[MetricDisplay, ...]:
    """Return the displays of the 14 metrics, and after them those of the settings' own."""
    own = (MetricDisplay(m, m.label, m.label) for m in metrics if m.name not in _BY_NAME)
    return (*METRIC_DISPLAYS, *own)


def displayed_levels(profile: str | None, cores: int | None) -> dict[str, Levels]:
    """Return the warn and critical level of each metric that has them, as displayed."""
    levels = levels_for(profile or "generic", cores)
    return {
        name: _mirrored(own) if _BY_NAME[name].mirrored else own for name, own in levels.items()
    }


def _mirrored(levels: Levels) -> Levels:
    return Levels(100 - levels.warn, 100 - levels.critical)
