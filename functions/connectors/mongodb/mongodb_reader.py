"""MongoDB reader: polls a collection in time order, and follows its change stream if asked to."""

import time
import weakref
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo.change_stream import CollectionChangeStream
from pymongo.errors import ExecutionTimeout, OperationFailure, PyMongoError

from functions.connectors.connector import Page, ReadOptions
from functions.connectors.lookback import LookbackWindow
from functions.connectors.mongodb.cursor_reader import CursorReader
from functions.connectors.mongodb.mongodb_connection import Client, MongoConnection, client_of
from functions.connectors.mongodb.mongodb_errors import AUTH_FAILED, unreachable
from functions.connectors.mongodb.time_field import (
    KINDS,
    UNKNOWN,
    Document,
    first_value,
    kind_of,
    no_time,
    skipped,
    type_counts,
)
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
        self._noted: set[str] = set()

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
        """Add a reader for each kind of time value; yield notes on what was not noted before."""
        newest = self._collection.find_one(sort=[("$natural", -1)]) or {}
        field = self._field(newest)
        notes = self._notes(field) if self._lookback.last_full_read is None else []
        counts = self._counts(field, newest)
        for kind in self._usable(field, counts, newest):
            if kind not in self._cursor_readers:
                self._cursor_readers[kind] = CursorReader(
                    self._collection, field, kind, self._options, self._connection,
                    (self._position or {}).get(kind),
                )  # fmt: skip
        notes += self._skipped(field, counts)
        if notes:  # the position moves, or a run without documents would not keep the notes
            self._position = (self._position or {}) | {"noted": len(self._noted)}
            yield Page((), self._position, tuple(notes))

    def _field(self, newest: Document) -> str:
        """The time field that orders the documents: the first that the newest document has."""
        fields = self._options.time.fields
        return next((f for f in fields if first_value(newest, f)[0] is not None), fields[0])

    def _counts(self, field: str, newest: Document) -> dict[str, int]:
        """How many documents have each kind of value, or of no time, in the time field."""
        timeout_ms = int(parse_period(self._connection.timeout) / timedelta(milliseconds=1))
        unwind = self._connection.unwind
        value, inside = first_value(newest, field)
        # An index has the elements of arrays, too: what is in one cannot be told by it.
        indexed = self._indexed and inside in (None, unwind)
        try:
            return type_counts(self._collection, field, unwind, indexed, timeout_ms)
        except ExecutionTimeout:
            kind = kind_of(value)
            return {kind: 1, UNKNOWN: 1} if kind else {UNKNOWN: 1}

    def _usable(self, field: str, counts: Mapping[str, int], newest: Document) -> list[str]:
        """The kinds of its values that can be read in order.

        Raises SourceInvalid when there are documents and none can be read.
        """
        reasons = self._unordered(field, counts)
        usable = [kind for kind in KINDS if kind in counts and kind not in reasons]
        if newest and not usable:
            place, unwind = self._connection.place, self._connection.unwind
            why = no_time(place, newest, self._options.time.fields, unwind)
            raise SourceInvalid(next(iter(reasons.values()), why))
        return usable

    def _unordered(self, field: str, counts: Mapping[str, int]) -> dict[str, str]:
        """Why the kinds cannot be read that cannot."""
        by_kind = {k: unordered(k, field, self._options.time) for k in KINDS if k in counts}
        return {kind: reason for kind, reason in by_kind.items() if reason is not None}

    def _skipped(self, field: str, counts: Mapping[str, int]) -> list[str]:
        """Notes on documents that are not read, once for each kind of value."""
        new = {kind: count for kind, count in counts.items() if kind not in self._noted}
        self._noted.update(new)
        reasons = self._unordered(field, new).values()
        no_times = {kind: count for kind, count in new.items() if kind not in KINDS}
        return [*(f"documents skipped: {reason}" for reason in reasons), *skipped(no_times, field)]

    def _has(self, condition: Mapping[str, Any]) -> bool:
        return self._collection.find_one(condition, {"_id": 1}) is not None

    def _notes(self, field: str) -> list[str]:
        place = self._connection.place
        is_view = False
        try:
            self._indexed = self._has_index(field)
        except OperationFailure:  # listing the indexes of a view is an error
            self._indexed, is_view = False, True
        if not self._has({}):
            names = sorted(self._client[self._connection.database].list_collection_names())
            available = f"; collections are {', '.join(names[:10])}" if names else ""
            return [f"{place} has no documents{available}"]
        if not self._indexed and not is_view:
            return [
                f"{place} has no index that begins with {field!r}, so each poll reads the whole "
                f"collection: have its owner create an index on {field!r}"
            ]
        return []

    def _has_index(self, field: str) -> bool:
        """Return True if the documents can be read in the order of the field without a scan."""
        indexes = self._collection.index_information().values()
        if any(index["key"][0][0] == field for index in indexes):
            return True
        series = self._collection.options().get("timeseries", {})
        return bool(series.get("timeField") == field)  # its buckets are in that order

    def _open_stream(self) -> Iterator[Page]:
        if not self._streams or self._stream is not None:
            return
        paths = projection((*self._options.fields, "_id"))
        fields = {f"fullDocument.{path}": 1 for path in paths}
        stages: list[Mapping[str, Any]] = [
            {"$match": {"operationType": "insert"}},
            {"$project": fields},
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
