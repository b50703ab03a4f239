"""What-if: the changes of a text such as `mem_used_pct:-20%,traffic:x1.5`, made to a context.

A change holds for the whole 24 h that the model sees: what would it say of a server that had been
so all day. Only the named metrics change, and stay in their ranges.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from storage.errors import HoursightError
from storage.model.metrics import METRIC_NAMES, METRICS

__all__ = ["Change", "ChangeInvalid", "changed", "level_of", "parse_changes"]

# Names that stand for several metrics.
NAMES_OF_SEVERAL: Final = {"traffic": ("net_in_mb_s", "net_out_mb_s")}
MAX_TEXT: Final = 1000
MAX_FACTOR: Final = 1000.0
RECENT_STEPS: Final = 12  # the last hour
_EXAMPLES: Final = "'-20%', '+10', 'x1.5' or '=30'"
# A '+' of a URL arrives as a space.
_CHANGE: Final = re.compile(r"(?P<kind>[-+ x×*=])(?P<number>\d+(\.\d+)?)(?P<percent>%?)")

Floats = npt.NDArray[np.float32]


class ChangeInvalid(HoursightError):
    """A text that is not a list of changes; the message names the part and what is expected."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one metric: to `factor` times its value and `added`; or, if `to` is set, to a
    level of its last hour.
    """

    metric: str
    factor: float = 1.0
    added: float = 0.0
    to: float | None = None


def parse_changes(text: str) -> list[Change]:
    """Return the changes in a text, separated by commas. Raises ChangeInvalid."""
    if len(text) > MAX_TEXT:
        raise ChangeInvalid(f"set has {len(text)} characters, expected {MAX_TEXT} at most")
    parts = [part for part in text.split(",") if part.strip()]
    changes = [change for part in parts for change in _changes(part)]
    if not changes:
        raise ChangeInvalid(
            f"set is {text!r}, expected METRIC:CHANGE, for example 'mem_used_pct:-20%'"
        )
    names = [change.metric for change in changes]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise ChangeInvalid(f"set changes {twice} twice, expected one change of a metric")
    return changes


def _changes(part: str) -> list[Change]:
    name, colon, value = part.partition(":")
    name = name.strip()
    metrics = NAMES_OF_SEVERAL.get(name, (name,))
    if not colon or metrics[0] not in METRIC_NAMES:
        known = ", ".join((*METRIC_NAMES, *NAMES_OF_SEVERAL))
        what = f"{name[:40]!r} is not a metric that is forecast" if colon else "it has no ':'"
        raise ChangeInvalid(
            f"set has {part[:60].strip()!r}: {what} (expected METRIC:CHANGE with one of {known})"
        )
    factor, added, to = _parsed(name, value)
    return [Change(metric, factor, added, to) for metric in metrics]


def _parsed(name: str, value: str) -> tuple[float, float, float | None]:
    """Return factor, addend and level of the text of a change."""
    match = _CHANGE.fullmatch(value.rstrip())
    relative = match is not None and match["kind"] in "-+ "
    if match is None or (match["percent"] and not relative):
        raise ChangeInvalid(
            f"set has {name}:{value[:40].strip()}: {value[:40]!r} is not a change (expected for "
            f"example {_EXAMPLES})"
        )
    number = float(match["number"])
    signed = -number if match["kind"] == "-" else number
    if match["kind"] == "=":
        return 1.0, 0.0, number
    factor = number if not relative else (1 + signed / 100 if match["percent"] else 1.0)
    if not 0 <= factor <= MAX_FACTOR:
        raise ChangeInvalid(
            f"set has {name}:{value[:40].strip()}: expected no less than -100% and no more than "
            f"x{MAX_FACTOR:g}"
        )
    return factor, signed if relative and not match["percent"] else 0.0, None


def changed(context: Floats, changes: Sequence[Change]) -> Floats:
    """Return `context` [288, 14] with the changes made; gaps stay gaps."""
    result = context.copy()
    for change in changes:
        place = METRIC_NAMES.index(change.metric)
        metric, values = METRICS[place], result[:, place]
        added = change.added
        if change.to is not None:
            added = change.to - level_of(context, change.metric)
        low, high = metric.lowest, np.inf if metric.highest is None else metric.highest
        result[:, place] = np.clip(values * np.float32(change.factor) + added, low, high)
    return result


def level_of(context: Floats, metric: str) -> float:
    """Return the mean of a metric's readings in the last hour that has one; NaN without any."""
    values = context[:, METRIC_NAMES.index(metric)]
    recent = values[np.isfinite(values)][-RECENT_STEPS:]
    return float(recent.mean()) if recent.size else float("nan")
