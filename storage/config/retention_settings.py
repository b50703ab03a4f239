"""Settings of how long rows are kept, by table."""

import re
from datetime import timedelta

from storage.model.schema import TABLES

__all__ = ["retention_of", "stock_retention"]

RETENTION = re.compile(r"(\d+)([dh])")


def stock_retention() -> dict[str, str]:
    """Return how long the rows of each table are kept unless the settings say otherwise."""
    return {t.name: t.retention_text for t in TABLES if t.by_day}


def retention_of(table: str, text: str) -> timedelta | None:
    """Return `7d` or `36h` as a period, and `always` as None.

    It is a day at least, because whole days are deleted at a time. Raises ValueError, also for a
    table whose rows are always kept.
    """
    if table not in stock_retention():
        known = ", ".join(stock_retention())
        raise ValueError(f"retention has {table!r}, expected one of {known}")
    if text == "always":
        return None
    match = RETENTION.fullmatch(text)
    period = timedelta(hours=int(match[1]) * (24 if match[2] == "d" else 1)) if match else None
    if period is None or not timedelta(days=1) <= period <= timedelta(days=36_500):
        raise ValueError(
            f"retention.{table} is {text!r}, expected 'always' or at least one day such as '7d' or "
            "'36h'"
        )
    return period
