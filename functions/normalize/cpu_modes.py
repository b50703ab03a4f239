"""CPU modes of operating systems to our four CPU metrics: one table for every source.

The names are those of Linux's /proc/stat, which psutil, node_exporter and Telegraf pass on.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from functions.normalize.numbers import Floats

__all__ = ["CPU_MODES", "GUEST_MODES", "MODES_OF", "cpu_shares", "of_whole_cores"]

# The metric that a mode is a part of. Steal is time that the hypervisor gave to others: it is part
# of the whole and of no metric. So is a mode that is not listed.
CPU_MODES: Mapping[str, str | None] = {
    "user": "cpu_user_pct",
    "nice": "cpu_user_pct",
    "system": "cpu_sys_pct",
    "irq": "cpu_sys_pct",
    "softirq": "cpu_sys_pct",
    "iowait": "cpu_iowait_pct",
    "idle": "cpu_idle_pct",
    "steal": None,
}
# Linux counts the time of guests in the mode named here as well. A source that takes it out of
# there (Telegraf) has to add it again; for all others it would count twice.
GUEST_MODES: Mapping[str, str] = {"guest": "user", "guest_nice": "nice"}
MODES_OF: Mapping[str, tuple[str, ...]] = {
    metric: tuple(mode for mode, part_of in CPU_MODES.items() if part_of == metric)
    for metric in dict.fromkeys(CPU_MODES.values())
    if metric is not None
}
# Known to step back a little in Linux; a decrease of any other mode is a reset.
UNSTEADY_MODES = frozenset({"idle", "iowait"})
ACCOUNTED = 0.9  # share of the time that counters of all modes grow by, at least
NEEDED_MODES = frozenset({"user", "system", "idle"})  # without these the rest would seem to be all

Mask = npt.NDArray[np.bool_]


def cpu_shares(grown: Floats, modes: Sequence[str]) -> dict[str, Floats]:
    """The CPU metrics in percent [n], from seconds [n, m] by which counters of modes [m] grew.

    A mode may come several times, once for each core. A growth that is not known (NaN) counts as
    0. NaN in rows after a reset and in rows without any progress. A metric is left out where none
    of its modes is among `modes`.
    """
    counted, steady, parts = _masks(tuple(modes))
    spent = np.where(counted, np.nan_to_num(grown, nan=0.0), 0.0)
    reset = (spent[:, steady] < 0).any(axis=1)
    spent = np.maximum(0.0, spent)
    total = spent.sum(axis=1)
    total[reset | (total <= 0)] = np.nan
    return {metric: 100 * spent[:, mine].sum(axis=1) / total for metric, mine in parts.items()}


def of_whole_cores(grown: Floats, names: Sequence[str], seconds: Floats) -> Mask:
    """A mask [step, counter]: True where all modes of the counter's core are known.

    `names` [counter] are of the form `CORE MODE`; `grown` [step, counter] is NaN where not known,
    within `seconds` [step, 1]. A core whose idle time stepped back is known only where its other
    modes account for the time: else it would seem to be busy.
    """
    cores: dict[str, dict[str, int]] = {}
    for place, name in enumerate(names):
        core, mode = name.split(" ", 1)
        cores.setdefault(core, {})[mode] = place
    known = np.zeros(grown.shape, bool)
    for modes in cores.values():
        if modes.keys() >= NEEDED_MODES:
            mine = list(modes.values())
            whole = ~np.isnan(grown[:, mine]).any(axis=1, keepdims=True)
            spent = np.maximum(0, grown[:, mine]).sum(axis=1, keepdims=True)
            stepped_back = grown[:, [modes["idle"]]] < 0
            known[:, mine] = whole & ~(stepped_back & (spent < ACCOUNTED * seconds))
    return known


@lru_cache(100)
def _masks(modes: tuple[str, ...]) -> tuple[Mask, Mask, dict[str, Mask]]:
    """Which of the modes [m] count, which of them never decrease, and those of each metric."""
    counted = np.array([mode not in GUEST_MODES for mode in modes], bool)
    steady = counted & np.array([mode not in UNSTEADY_MODES for mode in modes], bool)
    parts = {
        metric: np.array([mode in wanted for mode in modes], bool)
        for metric, wanted in MODES_OF.items()
    }
    return counted, steady, {metric: mine for metric, mine in parts.items() if mine.any()}
