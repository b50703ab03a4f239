"""Sender conflicts: two senders that write the same metrics of one server at the same time.

Machines whose names are equal would become one server without a word. A stream is what one sender
writes of one metric of a server. Two streams are in conflict where they have different values at
one time, or where samples of one lie between those of the other. A stream that follows another
is not: a label changed, or another sender took over.
"""

import logging
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice

import pyarrow as pa

from storage.model.reject_log import TWO_SENDERS, RejectLog
from storage.platform.printable import printable

__all__ = [
    "Labels", "ObserveStream", "Sender", "SenderConflicts", "bounded_labels", "observe_rows",
]  # fmt: skip

log = logging.getLogger(__name__)

MAX_WATCHED = 30_000  # pairs of server and metric
MAX_STREAMS = 3  # of a pair
KEPT_SAMPLES = 4  # of a stream
MAX_LOGGED = 1_000
# Samples further apart say nothing of what lies between them: a sender was away, or came back.
MAX_GAP_US = 600_000_000
MAX_SHOWN = 120
MAX_LABELS, MAX_LABEL_CHARS = 64, 200  # of a sender
FORGET_AFTER = timedelta(minutes=10)
SWEEP_EVERY = timedelta(minutes=1)
# Of rows the first of these that a row has: agents with one name are mostly of one kind.
WATCHED_METRICS = ("cpu_user_pct", "mem_used_pct", "load_average")

Labels = frozenset[tuple[str, str]]
# Server, metric, device or '', the sender's labels, times [microseconds since 1970] and values.
ObserveStream = Callable[[str, str, str, Labels, Sequence[int], Sequence[float]], None]


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends: the remote address with the program's name, and labels other than a device's."""

    origin: str
    labels: Labels = frozenset()

    def unlike(self, other: "Sender") -> str:
        """What this sender has and the other has not, as a message shows it."""
        labels = ", ".join(f"{name}={value}" for name, value in sorted(self.labels - other.labels))
        if not labels and self.labels != other.labels:
            labels = "without " + ", ".join(sorted(dict(other.labels - self.labels)))
        text = " from ".join(
            filter(None, (labels, self.origin if self.origin != other.origin else ""))
        )
        return printable(text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…")


@dataclass(slots=True)
class _Stream:
    """The newest samples of one sender, by time."""

    sender: Sender
    seen: datetime  # when it sent last
    times: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def add(self, samples: Iterable[tuple[int, float]]) -> None:
        for ts, value in samples:
            place = bisect_left(self.times, ts)
            if value == value and ts not in self.times[place : place + 1]:
                self.times.insert(place, ts)
                self.values.insert(place, value)
        del self.times[:-KEPT_SAMPLES], self.values[:-KEPT_SAMPLES]

    def has_between(self, ts: int, value: float) -> bool:
        """Return True if a sample of another sender differs from one here, or lies between two."""
        place = bisect_left(self.times, ts)
        if place < len(self.times) and self.times[place] == ts:
            return self.values[place] != value
        return (
            0 < place < len(self.times) and self.times[place] - self.times[place - 1] <= MAX_GAP_US
        )

    def conflicts_with(self, other: "_Stream") -> bool:
        return any(
            one.has_between(ts, value)
            for one, two in ((self, other), (other, self))
            for ts, value in zip(two.times, two.values, strict=True)
        )


@dataclass(slots=True)
class _Watched:
    """The streams of one metric of a server, and of one item, such as a device, if it has any."""

    item: str
    streams: list[_Stream] = field(default_factory=list)

    def stream_of(self, sender: Sender, now: datetime) -> _Stream:
        """The stream of a sender; where there are too many, the one seen longest ago goes."""
        for stream in self.streams:
            if stream.sender is sender or stream.sender == sender:
                stream.seen = now
                return stream
        if len(self.streams) >= MAX_STREAMS:
            self.streams.remove(min(self.streams, key=lambda each: each.seen))
        self.streams.append(_Stream(sender, now))
        return self.streams[-1]


class SenderConflicts:
    """Watches who writes what; of bounded size, and safe to share between threads.

    `remedy` says what a user can do. Beyond MAX_WATCHED, further metrics are not watched.
    """

    def __init__(self, remedy: str) -> None:
        self._remedy = remedy
        self._watched: dict[tuple[str, str], _Watched] = {}
        self._swept: datetime | None = None
        self._logged: set[str] = set()
        self._lock = threading.Lock()

    def observer(self, origin: str, now: datetime, notes: RejectLog) -> ObserveStream:
        """Return the function that takes the streams of one request, and adds notes to `notes`."""
        self._sweep(now)
        senders: dict[Labels, Sender] = {}

        def observe(
            server: str, metric: str, item: str, labels: Labels,
            times: Sequence[int], values: Sequence[float],
        ) -> None:  # fmt: skip
            samples = zip(times[-KEPT_SAMPLES:], values[-KEPT_SAMPLES:], strict=True)
            sender = senders.get(labels) or senders.setdefault(labels, Sender(origin, labels))
            other = self._conflicting(server, metric, item, sender, samples, now)
            if other is not None:
                self._note(server, metric, sender, other, notes)

        return observe

    def _conflicting(
        self, server: str, metric: str, item: str, sender: Sender,
        samples: Iterable[tuple[int, float]], now: datetime,
    ) -> Sender | None:  # fmt: skip
        """Add samples to the sender's stream; return another sender that is in conflict with it."""
        with self._lock:
            watched = self._watched.get((server, metric))
            if watched is None:
                if len(self._watched) >= MAX_WATCHED:
                    return None
                watched = self._watched[server, metric] = _Watched(item)
            if watched.item != item:
                return None
            mine = watched.stream_of(sender, now)
            mine.add(samples)
            if len(watched.streams) == 1:
                return None
            others = (each for each in watched.streams if each is not mine)
            return next((each.sender for each in others if each.conflicts_with(mine)), None)

    def _sweep(self, now: datetime) -> None:
        """Forget streams that ended, so that the note of a past conflict ends too."""
        with self._lock:
            if self._swept is not None and abs(now - self._swept) < SWEEP_EVERY:
                return
            self._swept = now
            for key, watched in list(self._watched.items()):
                watched.streams = [s for s in watched.streams if abs(now - s.seen) <= FORGET_AFTER]
                if not watched.streams:
                    del self._watched[key]

    def _note(self, server: str, metric: str, one: Sender, other: Sender, notes: RejectLog) -> None:
        first, second = sorted((one.unlike(other), other.unlike(one)))
        reason = TWO_SENDERS.format(server=server)
        example = f"{metric}: {first or 'one'}; {second or 'another'}"
        notes.add(reason, example, 0, self._remedy)
        if server not in self._logged and len(self._logged) < MAX_LOGGED:
            self._logged.add(server)
            log.warning("%s, as %s: %s", reason, example, self._remedy)


def bounded_labels(pairs: Iterable[tuple[str, str]]) -> Labels:
    """Labels or tags as a sender has them, of bounded size."""
    shown = islice(pairs, MAX_LABELS)
    return frozenset((name[:MAX_LABEL_CHARS], value[:MAX_LABEL_CHARS]) for name, value in shown)


def observe_rows(rows: pa.Table, sites: Mapping[str, str | None], observe: ObserveStream) -> None:
    """Pass the newest row of each server on as a stream of its sender; `sites` are by server."""
    servers, times = rows["server"].to_pylist(), rows["ts"].cast(pa.int64()).to_pylist()
    newest: dict[str, int] = {}
    for place, server in enumerate(servers):
        if server not in newest or times[place] > times[newest[server]]:
            newest[server] = place
    columns = {metric: rows[metric].to_pylist() for metric in WATCHED_METRICS}
    for server, place in newest.items():
        values = ((m, v[place]) for m, v in columns.items() if v[place] is not None)
        for metric, value in islice(values, 1):
            site = sites.get(server)
            labels = frozenset({("site", site)}) if site else frozenset()
            observe(server, metric, "", labels, (times[place],), (value,))
