"""Wording: what a check of the loss and the shift of a metric mean, in sentences."""

import math

from functions.rules.defaults import DRIFT_LIMIT
from functions.rules.drift.loss_check import LossCheck
from functions.rules.drift.shift_measures import KS_LIMIT

__all__ = ["fleet_sentence", "server_sentence"]


def fleet_sentence(check: LossCheck, servers: int) -> str:
    """Return what a check of a fleet or a profile means."""
    if not check.known:
        return "not judged yet: it needs three days of scores with the same hours of the week"
    sentence = f"forecasts lose {_change(check.ratio)} than in the reference week"
    if check.over:
        return f"{sentence}, at least {_percent(check.lower)} more"
    limit = _percent(math.log(DRIFT_LIMIT))
    return f"{sentence}; beyond its noise that is not {limit} more (over {servers} servers)"


def server_sentence(check: LossCheck, distance: float, metric: str | None) -> str | None:
    """Return what stands out on a server: its loss, and how its readings shifted; or None.

    `distance` is the KS distance over its metrics, NaN if unknown, `metric` the most different one.
    """
    parts = []
    if check.over:
        parts.append(f"its forecasts lose {_change(check.ratio)} than in the reference week")
    if metric is not None and distance >= KS_LIMIT:
        parts.append(
            f"its readings are others than in the week before (KS {distance:.2f}), most of all "
            f"{metric}"
        )
    return "; ".join(parts) or None


def _change(ratio: float) -> str:
    return f"{_percent(ratio)} {'more' if ratio >= 0 else 'less'}"


def _percent(ratio: float) -> str:
    return f"{abs(math.expm1(ratio)):.0%}".replace("%", " %")
