"""How each of the 14 metrics is shown: in which order, under which name, which way up."""

from collections.abc import Mapping
from dataclasses import dataclass

from storage.model.metrics import Levels, Metric, metric
from storage.model.profiles import levels_for

__all__ = ["INDICATORS", "SHOWN", "MetricDisplay", "display_of", "displayed_levels"]


@dataclass(frozen=True, slots=True)
class MetricDisplay:
    """A metric as people see it; a `mirrored` one is shown as 100 less its value."""

    metric: Metric
    label: str
    short: str
    mirrored: bool = False

    @property
    def name(self) -> str:
        """The metric's name in the lake."""
        return self.metric.name

    @property
    def unit(self) -> str:
        """The unit of what is shown."""
        return self.metric.unit

    def value(self, measured: float | None) -> float | None:
        """What is shown for a reading."""
        return 100 - measured if self.mirrored and measured is not None else measured

    def band(self, value: float | None, levels: Mapping[str, Levels]) -> str:
        """`critical`, `warn` or nothing, for a value as it is shown."""
        own = levels.get(self.name)
        if value is None or own is None:
            return ""
        if value >= own.critical:
            return "critical"
        return "warn" if value >= own.warn else ""


def _shown(name: str, short: str = "") -> MetricDisplay:
    known = metric(name)
    return MetricDisplay(known, known.label, short or known.label)


# The five that are displayed first, then the rest in order of how soon an operator asks for them.
INDICATORS: tuple[MetricDisplay, ...] = (
    MetricDisplay(metric("cpu_idle_pct"), "CPU used", "CPU", mirrored=True),
    _shown("cpu_iowait_pct", "I/O wait"),
    _shown("mem_used_pct", "Memory"),
    _shown("swap_used_pct", "Swap"),
    _shown("load_average", "Load"),
)
SHOWN: tuple[MetricDisplay, ...] = (
    *INDICATORS,
    *(
        _shown(name)
        for name in (
            "disk_usage_pct", "java_cpu_pct", "cpu_user_pct", "cpu_sys_pct", "net_in_mb_s",
            "net_out_mb_s", "back_close_wait", "front_close_wait", "uptime_days",
        )
    ),
)  # fmt: skip

_BY_NAME = {s.name: s for s in SHOWN}


def display_of(name: str) -> MetricDisplay:
    """How the metric called `name` is shown."""
    return _BY_NAME[name]


def displayed_levels(profile: str | None, cores: int | None) -> dict[str, Levels]:
    """Warn and critical level of each metric, the way up that it is shown."""
    levels = levels_for(profile or "generic", cores)
    return {
        name: _mirrored(own) if _BY_NAME[name].mirrored else own for name, own in levels.items()
    }


def _mirrored(levels: Levels) -> Levels:
    return Levels(100 - levels.warn, 100 - levels.critical)
