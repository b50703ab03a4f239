"""The adapter of Elasticsearch: reads indices and data streams in the order of time, only reads."""

import weakref
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import compress
from typing import Any

from elasticsearch import ApiError, Elasticsearch, TransportError

from functions.connectors.connector import Document, Page, ReadOptions
from functions.connectors.elasticsearch.discovery import discover
from functions.connectors.elasticsearch.elasticsearch_connection import (
    ElasticsearchConnection,
    client_of,
)
from functions.connectors.elasticsearch.elasticsearch_errors import unreachable
from functions.connectors.elasticsearch.pit_search import Hit, PitSearch, TimeField
from functions.connectors.lookback import LookbackWindow, SeenKeys
from functions.normalize.columns import projection
from storage.inbox.validation import MAX_FUTURE
from storage.model.periods import parse_period

__all__ = ["MAPPING", "ElasticsearchConnection", "connect"]

MAPPING = {"stock": "metricbeat"}


def connect(connection: ElasticsearchConnection, wanted: ReadOptions) -> "ElasticsearchReader":
    """Open the index; nothing is asked of the server yet."""
    return ElasticsearchReader(client_of(connection), connection, wanted)


class ElasticsearchReader:
    """An index that is read on from where it was left.

    The position is the newest time that was read. What was handed over within the overlap before it
    is remembered, so that reading it again hands over only what has come since.
    """

    def __init__(
        self, client: Elasticsearch, connection: ElasticsearchConnection, wanted: ReadOptions
    ) -> None:
        self._client = client
        self._hang_up = weakref.finalize(self, client.close)
        self._connection, self._wanted = connection, wanted
        self._overlap = parse_period(connection.overlap)
        self._position: dict[str, Any] | None = None
        self._field: TimeField | None = None
        self._passage: PitSearch | None = None
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
        self._given = SeenKeys()
        self._back = LookbackWindow(self._overlap)

    def _end_passage(self) -> None:
        passage, self._passage = self._passage, None
        if passage is not None:
            passage.close()

    def _look_around(self, now: datetime) -> Iterator[Page]:
        """What there is to read and from when on; what an operator should know of it."""
        far = self._back.due(now)
        if far or self._field is None:
            found = discover(self._client, self._connection.index, self._wanted.time)
            self._field = found.field
            if found.notes and self._back.looked is None:
                self._position = {"noted": True} | (self._position or {})
                yield Page((), self._position, found.notes)
            self._back.looked = now
        if self._field is not None:
            since_ms = self._since_ms(now, self._back.span(far))
            self._passage = PitSearch(
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
            fresh = self._fresh(hits)
            self._advance(hits, now)
            if fresh:
                self._passage.went_on()
                yield Page([_document(hit) for hit in fresh], self._position)

    def _fresh(self, hits: list[Hit]) -> list[Hit]:
        """Those of the documents that are new; from now on they are not."""
        assert self._field is not None
        keys = [(hit["_index"], hit["_id"]) for hit in hits]
        return list(compress(hits, self._given.take(keys, map(self._field.ms, hits))))

    def _advance(self, hits: list[Hit], now: datetime) -> None:
        assert self._field is not None
        # What lies in the future is handed over, to be refused, and nothing waits there.
        newest_ms, limit_ms = (self._position or {}).get("at"), _ms(now + MAX_FUTURE)
        found = [at for hit in hits if (at := self._field.ms(hit)) <= limit_ms]
        if found and (newest_ms is None or found[-1] > newest_ms):
            self._position = (self._position or {}) | {"at": found[-1]}
        if self._given.crowded and "at" in (self._position or {}):
            self._given.forget(self._since_ms(now, self._overlap))


def _document(hit: Hit) -> Document:
    document: Document = hit.get("_source") or {}
    return document


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
