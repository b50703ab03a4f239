"""Elasticsearch reader: reads an index in time order, and each document once."""

import weakref
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
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
from functions.normalize.time_bounds import resumed
from storage.model.periods import parse_period

__all__ = ["MAPPING", "ElasticsearchReader", "connect"]

MAPPING = {"stock": "metricbeat"}
MAX_MS = 253_402_300_799_000  # the last second of the year 9999


def connect(connection: ElasticsearchConnection, options: ReadOptions) -> "ElasticsearchReader":
    """Return a reader of the index; sends no request yet. Raises SourceInvalid."""
    return ElasticsearchReader(client_of(connection), connection, options)


class ElasticsearchReader:
    """Connector for an index, a data stream or a pattern of them.

    The position holds the newest time that was read, as `at` in epoch milliseconds. The keys of the
    documents within the overlap before it are remembered, so that the lookback of each poll hands
    over only what is new.
    """

    def __init__(
        self, client: Elasticsearch, connection: ElasticsearchConnection, options: ReadOptions
    ) -> None:
        self._client = client
        self._close_client = weakref.finalize(self, client.close)
        self._connection, self._options = connection, options
        self._overlap = parse_period(connection.overlap)
        self._position: dict[str, Any] | None = None
        self._field: TimeField | None = None
        self._search: PitSearch | None = None
        self._restart_from(None)

    def close(self) -> None:
        """Close the point in time on the server, and the client."""
        self._close_search()
        self._close_client()

    def pages(self, position: Any | None, now: datetime) -> Iterator[Page]:
        """Yield the documents after `position` in time order; raises Unreachable."""
        if self._position is None or position != self._position:
            self._restart_from(position)
        try:
            if self._search is None:
                yield from self._start_search(now)
            yield from self._read_pages(now)
        except (ApiError, TransportError) as error:
            raise unreachable(error, self._connection) from error

    def _restart_from(self, position: dict[str, Any] | None) -> None:
        self._close_search()
        self._position = position or {}
        self._seen = SeenKeys()
        self._lookback = LookbackWindow(self._overlap)

    def _close_search(self) -> None:
        search, self._search = self._search, None
        if search is not None:
            search.close()

    def _start_search(self, now: datetime) -> Iterator[Page]:
        """Discover the time field when a full read is due, then search from the lookback on.

        A page without documents carries the notes of the first discovery.
        """
        full = self._lookback.full_read_due(now)
        if full or self._field is None:
            discovery = discover(self._client, self._connection.index, self._options.time)
            self._field = discovery.field
            if discovery.notes and self._lookback.last_full_read is None:
                self._position = {"noted": True} | (self._position or {})
                yield Page((), self._position, discovery.notes)
            self._lookback.last_full_read = now
        if self._field is not None:
            self._follow_clock(now)
            since_ms = self._since_ms(now, self._lookback.span(full))
            self._search = PitSearch(
                self._client, self._connection, self._field,
                projection(self._options.fields), since_ms,
            )  # fmt: skip

    def _follow_clock(self, now: datetime) -> None:
        """Go back to before `now` where the position is in the future."""
        newest_ms = (self._position or {}).get("at")
        if newest_ms is not None and newest_ms <= MAX_MS:
            newest = datetime.fromtimestamp(newest_ms / 1000, UTC)
            at_ms = _ms(resumed(newest, now, self._options.limits.max_ahead))
            if at_ms < newest_ms:
                self._position = (self._position or {}) | {"at": at_ms}

    def _since_ms(self, now: datetime, overlap: timedelta) -> int:
        newest_ms = (self._position or {}).get("at")
        if newest_ms is None:
            return _ms(now - self._options.history)
        return int(newest_ms) - int(overlap / timedelta(milliseconds=1))

    def _read_pages(self, now: datetime) -> Iterator[Page]:
        """The pages of the search; one that a run left unfinished continues where it was."""
        while self._search is not None and self._field is not None:
            hits = self._search.page()
            if hits is None:
                self._close_search()
                return
            fresh = self._fresh(hits)
            self._advance(hits, now)
            if fresh:
                self._search.reset_expiries()
                yield Page([_document(hit) for hit in fresh], self._position)

    def _fresh(self, hits: list[Hit]) -> list[Hit]:
        """The hits that were not seen before; they count as seen from now on."""
        assert self._field is not None
        keys = [(hit["_index"], hit["_id"]) for hit in hits]
        return list(compress(hits, self._seen.add(keys, map(self._field.ms, hits))))

    def _advance(self, hits: list[Hit], now: datetime) -> None:
        assert self._field is not None
        # A document from the future is handed over, to be rejected, but must not move the position.
        newest_ms = (self._position or {}).get("at")
        limit_ms = _ms(now + self._options.limits.max_ahead)
        times_ms = [ms for hit in hits if (ms := self._field.ms(hit)) <= limit_ms]
        if times_ms and (newest_ms is None or times_ms[-1] > newest_ms):
            self._position = (self._position or {}) | {"at": times_ms[-1]}
        if self._seen.over_limit and "at" in (self._position or {}):
            self._seen.discard_before(self._since_ms(now, self._overlap))


def _document(hit: Hit) -> Document:
    document: Document = hit.get("_source") or {}
    return document


def _ms(ts: datetime) -> int:
    return int(ts.timestamp() * 1000)
