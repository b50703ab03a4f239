"""Source conflicts: two sources that write the same metrics of one server at the same time."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from storage.query.reader import Reader
from web.display.source_status import SourceStatus
from web.lake_session import sql

__all__ = ["with_source_conflicts"]

SPAN = timedelta(minutes=5)
MAX_METRICS = 3


def with_source_conflicts(
    sources: Sequence[SourceStatus], reader: Reader, now: datetime
) -> tuple[SourceStatus, ...]:
    """`sources` with the conflicts between them; reads rows only if two have sent lately."""
    recent = [each for each in sources if each.last_sample and each.last_sample > now - SPAN]
    between = _sentences(reader, now) if len(recent) > 1 else {}
    return tuple(
        replace(each, conflicts=(*each.conflicts, *between.get(each.source, ())))
        for each in sources
    )


def _sentences(reader: Reader, now: datetime) -> dict[str, list[str]]:
    """The conflicts by source."""
    since, sentences = now - SPAN, dict[str, list[str]]()
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
