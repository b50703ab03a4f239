"""Source conflicts: two sources that write the same metrics of one server at the same time."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from storage.query.reader import Reader
from web.lake_session import sql

__all__ = ["source_conflicts"]

SPAN = timedelta(minutes=5)
MAX_METRICS = 3


def source_conflicts(
    reader: Reader, last_samples: Iterable[datetime | None], now: datetime
) -> dict[str, list[str]]:
    """Return sentences by source; rows are read only if two sources have sent lately."""
    since = now - SPAN
    if sum(last is not None and last > since for last in last_samples) < 2:
        return {}
    sentences: dict[str, list[str]] = {}
    for row in reader.query(sql("source_conflicts"), since=since, now=now).to_pylist():
        sentence = _sentence(
            row["one"], row["other"], row["server"], row["servers"], row["metrics"]
        )
        for source in (row["one"], row["other"]):
            sentences.setdefault(source, []).append(sentence)
    return sentences


def _sentence(one: str, other: str, server: str, servers: int, metrics: list[str]) -> str:
    more = f" and {servers - 1} more server{'s' if servers > 2 else ''}" if servers > 1 else ""
    shown = ", ".join(metrics[:MAX_METRICS]) + (", …" if len(metrics) > MAX_METRICS else "")
    return (
        f"two sources write {server}{more} at the same time: {one} and {other}, both {shown}. "
        "Stop one of them, or give each machine a name of its own"
    )
