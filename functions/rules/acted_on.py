"""Acted-on steps: when somebody acted on a server, so that its forecasts cannot be judged."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["ACTS", "Act", "acted_steps", "reboots"]

# Kinds of `marks` after which what happens is no longer what was forecast.
ACTS = ("acting", "deploy", "remediation")
CLOCK_ERROR_DAYS = 0.001  # what the uptime of a server that runs on may seem to fall by

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Act:
    """What somebody did from step `first` to step `last` of an array of steps.

    It concerns the server `server`, or those that the glob `pattern` matches, or all (None), and
    the metric `metric` or all (None).
    """

    first: int
    last: int
    server: str | None = None
    pattern: str | None = None
    metric: str | None = None

    def concerns(self, server: str) -> bool:
        """Return True if it concerns this server."""
        if self.server is not None:
            return server == self.server
        return self.pattern is None or fnmatchcase(server, self.pattern)


def acted_steps(
    acts: Iterable[Act], servers: Sequence[str], metrics: Sequence[str], steps: int
) -> Mask:
    """Return a mask [servers, metrics, steps] of the steps in which somebody acted."""
    mask = np.zeros((len(servers), len(metrics), steps), np.bool_)
    for act in acts:
        first, stop = max(0, act.first), min(steps, act.last + 1)
        concerned = [i for i, name in enumerate(servers) if act.concerns(name)]
        if first >= stop or not concerned:
            continue
        if act.metric is None:
            mask[concerned, :, first:stop] = True
        elif act.metric in metrics:
            mask[concerned, metrics.index(act.metric), first:stop] = True
    return mask


def reboots(uptime_days: npt.NDArray[np.floating[Any]]) -> Mask:
    """Return a mask [servers, steps] of the steps in which the uptime [servers, steps] fell.

    A step without a value (NaN) is compared with the newest one before it that has a value.
    """
    filled = np.where(np.isnan(uptime_days), -np.inf, uptime_days)
    known = np.isfinite(filled)
    place = np.maximum.accumulate(np.where(known, np.arange(filled.shape[1]), 0), axis=1)
    newest = np.take_along_axis(filled, place, axis=1)
    fell = np.zeros(filled.shape, np.bool_)
    with np.errstate(invalid="ignore"):
        fell[:, 1:] = known[:, 1:] & (newest[:, :-1] - filled[:, 1:] > CLOCK_ERROR_DAYS)
    return fell
