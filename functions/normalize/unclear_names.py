"""Unclear names: fields whose name says what they hold and not in which unit; none is mapped.

A stock mapping has only names that carry their unit, our own, and documented fields of products.
"""

from collections.abc import Mapping as Dict
from typing import NamedTuple

import numpy as np

from functions.normalize.columns import Columns, as_list
from functions.normalize.mapping import Mapping, stock_entries
from functions.normalize.numbers import Floats
from storage.model.reject_log import RejectLog

__all__ = ["UNCLEAR_NAMES", "UnclearName", "refuse_unclear", "unclear_fields"]


class UnclearName(NamedTuple):
    """A metric that a name may stand for, the units in question, and one as a mapping writes it."""

    metric: str
    units: str
    example: str

    def reason(self, name: str) -> str:
        """Why the field `name` is not mapped."""
        return f"not mapped: the name {name!r} does not say its unit ({self.units}?)"

    def remedy(self, name: str) -> str:
        """What to write into a mapping."""
        entry = f'{self.metric} = {{ field = "{name}", unit = "{self.example}" }}'
        return f"add [mapping.metrics] {entry}, with its true unit"


_SHARE, _TRAFFIC = "percent or a fraction", "bytes, bits or megabytes per second, or a counter"

UNCLEAR_NAMES: Dict[str, UnclearName] = {
    **{
        name: UnclearName(metric, _SHARE, "percent")
        for metric, names in {
            "cpu_user_pct": ("cpu_user", "cpu.user.pct"),
            "cpu_sys_pct": ("cpu_sys", "cpu_system", "cpu.sys.pct"),
            "cpu_iowait_pct": ("cpu_iowait", "cpu.iowait.pct"),
            "cpu_idle_pct": ("cpu_idle", "cpu.idle.pct"),
            "mem_used_pct": ("memory_used", "memory.used.pct"),
            "swap_used_pct": ("swap_used", "swap.used.pct"),
            "disk_usage_pct": ("disk_used", "disk.usage.pct"),
        }.items()
        for name in names
    },
    "java_cpu": UnclearName("java_cpu_pct", "percent of all cores or a sum over them", "percent"),
    "network_in": UnclearName("net_in_mb_s", _TRAFFIC, "bytes_s"),
    "network_out": UnclearName("net_out_mb_s", _TRAFFIC, "bytes_s"),
    "uptime": UnclearName("uptime_days", "seconds, hours or days", "s"),
}


def unclear_fields(mapping: Mapping) -> tuple[str, ...]:
    """The unclear names that would stand for metrics whose fields the mapping does not state."""
    stock, read = stock_entries(mapping.stock), set(mapping.paths)
    unstated = {
        name
        for name, fields in mapping.entries.items()
        if [f.fields for f in fields] == [f.fields for f in stock.get(name, ())]
    }
    return tuple(n for n, u in UNCLEAR_NAMES.items() if u.metric in unstated and n not in read)


def refuse_unclear(
    columns: Columns, names: tuple[str, ...], values: Dict[str, Floats | None], rejects: RejectLog
) -> None:
    """Refuse the values of unclear names in records that have no other value for the metric."""
    for name in names:
        column = columns.get(name)
        if column is None:
            continue
        unclear = UNCLEAR_NAMES[name]
        sent = as_list(column)
        stated = values.get(unclear.metric)
        absent = np.ones(len(sent), bool) if stated is None else np.isnan(stated)
        lost = [v for v, a in zip(sent, absent, strict=True) if a and v is not None and v != ""]
        if lost:
            rejects.add(unclear.reason(name), repr(lost[0]), len(lost), unclear.remedy(name))
