"""The adapter of Elasticsearch: reads indices and data streams in the order of time, only reads."""

import weakref
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from elasticsearch import ApiError, Elasticsearch, TransportError

from functions.adapters.elasticsearch.connection import Connection, client_of
from functions.adapters.elasticsearch.passage import Hit, Passage, TimeField
from functions.adapters.elasticsearch.survey import survey
from functions.adapters.elasticsearch.trouble import unreachable
from functions.mapping.columns import projection
from functions.runtime.triggers import parse_period
from functions.sources.feed import Document, Page, Wanted

__all__ = ["MAPPING", "Connection", "connect"]

MAPPING = {"stock": "metricbeat"}

# Servers report in no order: each poll looks back a little, and now and then all the way.
JITTER = timedelta(seconds=15)
LOOKS_BACK_PER_OVERLAP = 4
# Times beyond this lie in the future: they are handed over, to be refused, and nothing waits there.
MAX_FUTURE = timedelta(minutes=5)
MAX_GIVEN = 50_000


def connect(connection: Connection, wanted: Wanted) -> "Reading":
    """Open the index; nothing is asked of the server yet."""
    return Reading(client_of(connection), connection, wanted)


class Reading:
    """An index that is read on from where it was left.

    The position is the newest time that was read. What was handed over within the overlap before it
    is remembered, so that reading it again hands over only what has come since.
    """

    def __init__(self, client: Elasticsearch, connection: Connection, wanted: Wanted) -> None:
        self._client = client
        self._hang_up = weakref.finalize(self, client.close)
        self._connection, self._wanted = connection, wanted
        self._overlap = parse_period(connection.overlap)
        self._position: dict[str, Any] | None = None
        self._field: TimeField | None = None
        self._passage: Passage | None = None
        self._begin(None)

    def close(self) -> None:
        """Let go of the server, and of the point in time there."""
        self._end_passage()
        self._hang_up()

    def pages(self, position: Any | None, now: datetime) -> Iterator[Page]:
        """What lies after `position`, in the order of time."""
        if self._position is None or position != self._position:
            self._begin(position)
        try:
            if self._passage is None:
                yield from self._look_around(now)
            yield from self._read_on(now)
        except (ApiError, TransportError) as error:
            raise unreachable(error, self._connection) from error

    def _begin(self, position: dict[str, Any] | None) -> None:
        self._end_passage()
        self._position = position or {}
        self._given: dict[tuple[str, str], int] = {}
        self._forget_at = MAX_GIVEN
        self._looked: datetime | None = None

    def _end_passage(self) -> None:
        passage, self._passage = self._passage, None
        if passage is not None:
            passage.close()

    def _look_around(self, now: datetime) -> Iterator[Page]:
        """What there is to read and from when on; what an operator should know of it."""
        pause = self._overlap / LOOKS_BACK_PER_OVERLAP
        back = self._looked is None or not timedelta(0) <= now - self._looked < pause
        if back or self._field is None:
            found = survey(self._client, self._connection.index, self._wanted.time)
            self._field = found.field
            if found.notes and self._looked is None:
                self._position = {"noted": True} | (self._position or {})
                yield Page((), self._position, found.notes)
            self._looked = now
        if self._field is not None:
            since_ms = self._since_ms(now, self._overlap if back else min(self._overlap, JITTER))
            self._passage = Passage(
                self._client, self._connection, self._field, self._fields(), since_ms
            )

    def _since_ms(self, now: datetime, overlap: timedelta) -> int:
        newest_ms = (self._position or {}).get("at")
        if newest_ms is None:
            return _ms(now - self._wanted.history)
        return int(newest_ms) - int(overlap / timedelta(milliseconds=1))

    def _fields(self) -> list[str]:
        return projection(self._wanted.fields)

    def _read_on(self, now: datetime) -> Iterator[Page]:
        """The pages of a passage; one that is left in the middle goes on there."""
        while self._passage is not None and self._field is not None:
            hits = self._passage.page()
            if hits is None:
                self._end_passage()
                return
            fresh = [hit for hit in hits if self._remember(hit)]
            self._advance(hits, _ms(now + MAX_FUTURE))
            if fresh:
                self._passage.went_on()
                yield Page([_document(hit) for hit in fresh], self._position)

    def _remember(self, hit: Hit) -> bool:
        """Whether the document is new; from now on it is not."""
        assert self._field is not None
        key = (hit["_index"], hit["_id"])
        new = key not in self._given
        self._given[key] = self._field.ms(hit)
        return new

    def _advance(self, hits: list[Hit], limit_ms: int) -> None:
        assert self._field is not None
        newest_ms = (self._position or {}).get("at")
        found = [at for hit in hits if (at := self._field.ms(hit)) <= limit_ms]
        if found and (newest_ms is None or found[-1] > newest_ms):
            self._position = (self._position or {}) | {"at": found[-1]}
        if len(self._given) > self._forget_at:
            self._forget()

    def _forget(self) -> None:
        """Let go of what no look back reaches any more."""
        newest_ms = (self._position or {}).get("at")
        if newest_ms is not None:
            bound_ms = newest_ms - int(self._overlap / timedelta(milliseconds=1))
            self._given = {key: at for key, at in self._given.items() if at >= bound_ms}
            self._forget_at = MAX_GIVEN + 2 * len(self._given)


def _document(hit: Hit) -> Document:
    document: Document = hit.get("_source") or {}
    return document


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
