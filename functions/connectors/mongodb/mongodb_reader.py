"""The adapter of MongoDB: reads a collection in the order of its time field, and only reads."""

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
from functions.connectors.mongodb.cursor_reader import KINDS, TYPES, CursorReader, Document, at
from functions.connectors.mongodb.mongodb_connection import (
    AUTH_FAILED,
    Client,
    MongoConnection,
    client_of,
    unreachable,
)
from functions.normalize.columns import projection
from functions.normalize.strict_toml import SourceInvalid
from functions.normalize.time_bounds import unordered
from storage.model.periods import parse_period

__all__ = ["MongoConnection", "connect"]

STREAM_WAIT_MS = 100
BURST_S = 0.2
MAX_WAIT = timedelta(seconds=10)

CODEC: CodecOptions[Document] = CodecOptions(
    tz_aware=True,
    # A date that Python cannot hold and text that is not UTF-8 spoil one value, not the page.
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
    unicode_decode_error_handler="replace",
)  # a type registry would have the driver decode each page twice


def connect(connection: MongoConnection, wanted: ReadOptions) -> "MongoReader":
    """Open the collection; nothing is asked of the server yet."""
    return MongoReader(client_of(connection), connection, wanted)


class MongoReader:
    """A collection that is read on from where it was left."""

    def __init__(self, client: Client, connection: MongoConnection, wanted: ReadOptions) -> None:
        self._client = client
        self._hang_up = weakref.finalize(self, client.close)
        self._connection = connection
        self._wanted = wanted
        self._collection = client[connection.database].get_collection(
            connection.collection, codec_options=CODEC
        )
        self._strands: dict[str, CursorReader] = {}
        self._position: dict[str, Any] | None = None
        self._polled: datetime | None = None
        self._back = LookbackWindow(parse_period(connection.overlap))
        self._stream: CollectionChangeStream[Document] | None = None
        self._streams = connection.change_stream
        self._indexed = True

    def close(self) -> None:
        """Let go of the server."""
        self._hang_up()

    def pages(self, position: Any | None, now: datetime) -> Iterator[Page]:
        """What lies after `position`, kind by kind of its times, in their order."""
        if self._position is None or position != self._position:
            self._begin(position)
        try:
            yield from self._open_stream()
            if self._due(now):
                yield from self._poll(now)
                self._polled = now
            if self._stream is not None:
                yield from self._wait()
        except PyMongoError as error:
            raise unreachable(error, self._connection) from error

    def _due(self, now: datetime) -> bool:
        """Whether to poll: each time, but where a stream brings most of it at once."""
        if self._stream is None or self._polled is None or self._busy:
            return True
        return not timedelta(0) <= now - self._polled < self._wanted.every

    @property
    def _busy(self) -> bool:
        return any(strand.under_way for strand in self._strands.values())

    def _begin(self, position: dict[str, Any] | None) -> None:
        self._position = position or {}
        self._strands = {}
        self._back.looked = self._polled = None

    def _poll(self, now: datetime) -> Iterator[Page]:
        far = self._back.due(now)
        if far and not self._busy:
            yield from self._look_around()
            self._back.looked = now
        for kind, strand in self._strands.items():
            for documents in strand.read(now, self._back.span(far)):
                yield self._page(documents, strand, kind)

    def _page(self, documents: list[Document], strand: CursorReader, kind: str) -> Page:
        self._position = (self._position or {}) | {kind: strand.position}
        return Page(documents, self._position)

    def _look_around(self) -> Iterator[Page]:
        """Which kinds of times there are; what an operator should know of the collection."""
        field, notes = self._field(), []
        if self._back.looked is None:
            notes = self._notes(field)
        usable, notes_too = self._usable(field)
        notes += notes_too
        for kind in usable:
            if kind not in self._strands:
                self._strands[kind] = CursorReader(
                    self._collection, field, kind, self._wanted, self._connection,
                    (self._position or {}).get(kind),
                )  # fmt: skip
        if notes:
            self._position = {"noted": True} | (self._position or {})
            yield Page((), self._position, tuple(notes))

    def _field(self) -> str:
        """The time field that orders the documents: the first that they have."""
        fields = self._wanted.time.fields
        newest_one = self._collection.find_one(sort=[("$natural", -1)]) if len(fields) > 1 else None
        held = (f for f in fields if newest_one and at(newest_one, f) is not None)
        return next(held, fields[0])

    def _kinds(self, field: str) -> list[str]:
        """With an index each kind is a short look; without one only the newest document tells."""
        if self._indexed:
            return [k for k, name in KINDS.items() if self._has({field: {"$type": name}})]
        found = self._collection.find_one({field: {"$exists": True}}, sort=[("$natural", -1)])
        value = at(found, field) if found else None
        return [kind for kind, types in TYPES.items() if isinstance(value, types)]

    def _usable(self, field: str) -> tuple[list[str], list[str]]:
        """The kinds that can be read in order, and a note for each that cannot."""
        found = {kind: unordered(kind, field, self._wanted.time) for kind in self._kinds(field)}
        usable = [kind for kind, reason in found.items() if reason is None]
        reasons = [reason for reason in found.values() if reason is not None]
        if reasons and not usable:
            raise SourceInvalid(reasons[0])
        return usable, [f"left out: {reason}" for reason in reasons if self._back.looked is None]

    def _has(self, condition: Mapping[str, Any]) -> bool:
        return self._collection.find_one(condition, {"_id": 1}) is not None

    def _notes(self, field: str) -> list[str]:
        place = self._connection.place
        with suppress(OperationFailure):  # a view has no indexes, and tells so
            indexes = self._collection.index_information().values()
            self._indexed = any(index["key"][0][0] == field for index in indexes)
        if not self._has({}):
            names = sorted(self._client[self._connection.database].list_collection_names())
            there = f"; there are {', '.join(names[:10])}" if names else ""
            return [f"{place} has no documents{there}"]
        if not self._indexed:
            return [
                f"{place} has no index that begins with {field!r}: each look reads the whole "
                f"collection; have its owner create one on {field!r}"
            ]
        return []

    def _open_stream(self) -> Iterator[Page]:
        if not self._streams or self._stream is not None:
            return
        fields = {f"fullDocument.{path}": 1 for path in projection(self._wanted.fields)}
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
                (), self._position, (f"no change stream, polled instead: {str(reason).strip()}",)
            )

    def _wait(self) -> Iterator[Page]:
        """What is inserted from now on, at once; at most until it is time to poll again."""
        assert self._stream is not None
        until = time.monotonic() + min(self._wanted.every, MAX_WAIT).total_seconds() - 2 * BURST_S
        while True:
            documents = list(self._burst(self._stream))
            if documents:
                yield Page(documents, self._position, again=True)
            if documents or time.monotonic() >= until:
                return

    def _burst(self, stream: CollectionChangeStream[Document]) -> Iterator[Document]:
        """What comes now; where it never ends, for a while, so that nobody waits for the rest."""
        enough = time.monotonic() + BURST_S
        for _ in range(self._connection.page):
            event = stream.try_next()
            if event is None:
                return
            document = event["fullDocument"]
            strand = next((s for s in self._strands.values() if s.holds(document)), None)
            yield from [document] if strand is None else strand.fresh([document])
            if time.monotonic() >= enough:
                return
