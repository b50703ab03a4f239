"""MongoDB reader: polls a collection in time order, and follows its change stream if asked to."""

import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo.change_stream import CollectionChangeStream
from pymongo.errors import OperationFailure, PyMongoError

from functions.connectors.connector import Page, ReadOptions
from functions.connectors.lookback import LookbackWindow
from functions.connectors.mongodb.cursor_reader import (
    KINDS,
    TYPES,
    CursorReader,
    Document,
    value_at,
)
from functions.connectors.mongodb.mongodb_connection import Client, MongoConnection, client_of
from functions.connectors.mongodb.mongodb_errors import AUTH_FAILED, unreachable
from functions.normalize.columns import projection
from functions.normalize.strict_toml import SourceInvalid
from functions.normalize.time_bounds import unordered
from storage.model.periods import parse_period

__all__ = ["CODEC", "MongoReader", "connect"]

STREAM_WAIT_MS = 100
BURST_S = 0.2
MAX_WAIT = timedelta(seconds=10)

CODEC: CodecOptions[Document] = CodecOptions(
    tz_aware=True,
    # A date outside Python's range or text that is not UTF-8 must cost one value, not the page.
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
    unicode_decode_error_handler="replace",
)  # without a type registry, for which the driver would decode each page twice


def connect(connection: MongoConnection, options: ReadOptions) -> "MongoReader":
    """Return a reader of the collection; sends no command yet. Raises SourceInvalid."""
    return MongoReader(client_of(connection), connection, options)


class MongoReader:
    """Connector for a collection.

    The position holds, for each kind of value that the time field has, the newest one that was
    read: MongoDB orders only values of one kind.
    """

    def __init__(self, client: Client, connection: MongoConnection, options: ReadOptions) -> None:
        self._client = client
        self._close_client = weakref.finalize(self, client.close)
        self._connection = connection
        self._options = options
        self._collection = client[connection.database].get_collection(
            connection.collection, codec_options=CODEC
        )
        self._cursor_readers: dict[str, CursorReader] = {}
        self._position: dict[str, Any] | None = None
        self._last_poll: datetime | None = None
        self._lookback = LookbackWindow(parse_period(connection.overlap))
        self._stream: CollectionChangeStream[Document] | None = None
        self._streams = connection.change_stream
        self._indexed = True

    def close(self) -> None:
        """Close the client."""
        self._close_client()

    def pages(self, position: Any | None, now: datetime) -> Iterator[Page]:
        """Yield the documents after `position`, in time order for each kind of time value.

        Raises Unreachable, and SourceInvalid when no time field can be read in order.
        """
        if self._position is None or position != self._position:
            self._restart_from(position)
        try:
            yield from self._open_stream()
            if self._poll_due(now):
                yield from self._poll(now)
                self._last_poll = now
            if self._stream is not None:
                yield from self._follow_stream()
        except PyMongoError as error:
            raise unreachable(error, self._connection) from error

    def _poll_due(self, now: datetime) -> bool:
        """Return True if it is time to poll: in each run, but once a period beside a stream."""
        if self._stream is None or self._last_poll is None or self._poll_unfinished:
            return True
        return not timedelta(0) <= now - self._last_poll < self._options.every

    @property
    def _poll_unfinished(self) -> bool:
        return any(reader.unfinished for reader in self._cursor_readers.values())

    def _restart_from(self, position: dict[str, Any] | None) -> None:
        self._position = position or {}
        self._cursor_readers = {}
        self._lookback.last_full_read = self._last_poll = None

    def _poll(self, now: datetime) -> Iterator[Page]:
        full = self._lookback.full_read_due(now)
        if full and not self._poll_unfinished:
            yield from self._discover()
            self._lookback.last_full_read = now
        for kind, reader in self._cursor_readers.items():
            for documents in reader.read(now, self._lookback.span(full)):
                yield self._page(documents, reader, kind)

    def _page(self, documents: list[Document], reader: CursorReader, kind: str) -> Page:
        self._position = (self._position or {}) | {kind: reader.position}
        return Page(documents, self._position)

    def _discover(self) -> Iterator[Page]:
        """Add a reader for each kind of time value; at first, yield notes on the collection."""
        field, notes = self._field(), []
        if self._lookback.last_full_read is None:
            notes = self._notes(field)
        usable, notes_too = self._usable(field)
        notes += notes_too
        for kind in usable:
            if kind not in self._cursor_readers:
                self._cursor_readers[kind] = CursorReader(
                    self._collection, field, kind, self._options, self._connection,
                    (self._position or {}).get(kind),
                )  # fmt: skip
        if notes:
            self._position = {"noted": True} | (self._position or {})
            yield Page((), self._position, tuple(notes))

    def _field(self) -> str:
        """The time field that orders the documents: the first that the newest document has."""
        fields = self._options.time.fields
        if len(fields) == 1:
            return fields[0]
        newest = self._collection.find_one(sort=[("$natural", -1)]) or {}
        return next((f for f in fields if value_at(newest, f) is not None), fields[0])

    def _kinds(self, field: str) -> list[str]:
        """The kinds of its values; without an index only that of the newest: no full scans."""
        if self._indexed:
            return [k for k, name in KINDS.items() if self._has({field: {"$type": name}})]
        newest = self._collection.find_one({field: {"$exists": True}}, sort=[("$natural", -1)])
        value = value_at(newest, field) if newest else None
        return [kind for kind, types in TYPES.items() if isinstance(value, types)]

    def _usable(self, field: str) -> tuple[list[str], list[str]]:
        """The kinds that can be read in order, and a note for each that cannot."""
        by_kind = {kind: unordered(kind, field, self._options.time) for kind in self._kinds(field)}
        usable = [kind for kind, reason in by_kind.items() if reason is None]
        reasons = [reason for reason in by_kind.values() if reason is not None]
        if reasons and not usable:
            raise SourceInvalid(reasons[0])
        return usable, [
            f"documents skipped: {reason}"
            for reason in reasons
            if self._lookback.last_full_read is None
        ]

    def _has(self, condition: Mapping[str, Any]) -> bool:
        return self._collection.find_one(condition, {"_id": 1}) is not None

    def _notes(self, field: str) -> list[str]:
        place = self._connection.place
        with suppress(OperationFailure):  # listing the indexes of a view is an error
            indexes = self._collection.index_information().values()
            self._indexed = any(index["key"][0][0] == field for index in indexes)
        if not self._has({}):
            names = sorted(self._client[self._connection.database].list_collection_names())
            available = f"; collections are {', '.join(names[:10])}" if names else ""
            return [f"{place} has no documents{available}"]
        if not self._indexed:
            return [
                f"{place} has no index that begins with {field!r}, so each poll reads the whole "
                f"collection: have its owner create an index on {field!r}"
            ]
        return []

    def _open_stream(self) -> Iterator[Page]:
        if not self._streams or self._stream is not None:
            return
        fields = {f"fullDocument.{path}": 1 for path in projection(self._options.fields)}
        stages: list[Mapping[str, Any]] = [
            {"$match": {"operationType": "insert"}},
            {"$project": fields | {"fullDocument._id": 1}},
        ]
        try:
            self._stream = self._collection.watch(stages, max_await_time_ms=STREAM_WAIT_MS)
        except OperationFailure as error:
            if error.code in (AUTH_FAILED, None):
                raise
            self._streams = False
            reason = (error.details or {}).get("errmsg", error)
            self._position = {"noted": True} | (self._position or {})
            yield Page(
                (), self._position, (f"no change stream, polling instead: {str(reason).strip()}",)
            )

    def _follow_stream(self) -> Iterator[Page]:
        """Wait for inserts until it is time to poll again; yield the first ones at once."""
        assert self._stream is not None
        deadline = (
            time.monotonic() + min(self._options.every, MAX_WAIT).total_seconds() - 2 * BURST_S
        )
        while True:
            documents = list(self._burst(self._stream))
            if documents:
                yield Page(documents, self._position, again=True)
            if documents or time.monotonic() >= deadline:
                return

    def _burst(self, stream: CollectionChangeStream[Document]) -> Iterator[Document]:
        """The waiting inserts: at most a page, and for BURST_S, as a busy stream never ends."""
        deadline = time.monotonic() + BURST_S
        for _ in range(self._connection.page):
            event = stream.try_next()
            if event is None:
                return
            document = event["fullDocument"]
            readers = self._cursor_readers.values()
            reader = next((r for r in readers if r.is_of_kind(document)), None)
            yield from [document] if reader is None else reader.fresh([document])
            if time.monotonic() >= deadline:
                return
