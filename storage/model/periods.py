"""Periods as text: a number and a unit, such as 5s, 1.5m or 7d."""

import re
from datetime import timedelta

__all__ = ["parse_period"]

_PERIOD = re.compile(r"(?P<count>\d+(\.\d+)?)(?P<unit>ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_period(text: str) -> timedelta:
    """Parse `"250ms"`, `"5s"`, `"1.5m"`, `"1h"` or `"1d"`.

    Raises ValueError for anything else, including zero.
    """
    match = _PERIOD.fullmatch(text)
    if match is None or float(match["count"]) == 0:
        raise ValueError(
            f"{text!r} is not a valid period (expected a number above 0 and ms, s, m, h or d, for "
            "example '5s')"
        )
    return timedelta(seconds=float(match["count"]) * _SECONDS[match["unit"]])
