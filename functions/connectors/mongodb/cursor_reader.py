"""Cursor reader: the documents of a collection in time order, each handed over once."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import compress
from typing import Any

from bson import ObjectId, Timestamp
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from pymongo.collection import Collection
from pymongo.command_cursor import CommandCursor
from pymongo.cursor import Cursor

from functions.connectors.connector import ReadOptions
from functions.connectors.lookback import SeenKeys
from functions.connectors.mongodb.mongodb_connection import MongoConnection
from functions.connectors.mongodb.time_field import (
    KINDS,
    TYPES,
    Document,
    as_time,
    set_at,
    value_at,
)
from functions.normalize.columns import projection
from functions.normalize.time_bounds import before, caught_up, newest, since
from storage.model.periods import parse_period

__all__ = ["CursorReader"]

# The place of an element in the array that is unwound.
_PLACE = "_hoursight_place"


class CursorReader:
    """Reads the documents of a collection whose times are of one kind, in time order.

    `position` is the newest time that was read. The keys of the documents within the overlap before
    it are remembered, so that the lookback of each poll hands over only what is new. BSON
    timestamps and object ids are handed over as dates. With `unwind` each element of that array is
    a document of its own, beside the other fields.
    """

    def __init__(
        self,
        collection: Collection[Document],
        field: str,
        kind: str,
        options: ReadOptions,
        connection: MongoConnection,
        position: Any | None,
    ) -> None:
        self._collection = collection
        self._field, self._kind, self._time = field, kind, options.time
        self._history, self._limits = options.history, options.limits
        self._projection = dict.fromkeys(projection((*options.fields, field, "_id")), 1)
        self._unwind = connection.unwind
        self._page, self._overlap = connection.page, parse_period(connection.overlap)
        self._frontier = _decode_position(position)
        self._seen = SeenKeys()
        self._cursor: Cursor[Document] | CommandCursor[Document] | None = None
        self._ahead: Future[list[Document]] | None = None
        self._fetcher = ThreadPoolExecutor(1, f"mongodb {kind}")

    @property
    def position(self) -> Any:
        """The newest time that was read, as a JSON value; None before the first."""
        return _encode_position(self._frontier)

    @property
    def unfinished(self) -> bool:
        """Return True if the last read was left in the middle; the next one continues there."""
        return self._cursor is not None

    def read(self, now: datetime, overlap: timedelta) -> Iterator[list[Document]]:
        """Yield pages of new documents, from `overlap` before the newest time on, each once."""
        if self._cursor is None:
            if self._frontier is not None:
                ahead = self._limits.max_ahead
                self._frontier = caught_up(self._frontier, now, ahead, self._time)
            self._cursor = self._find(now, overlap)
        while page := self._next(self._cursor):
            fresh = self.fresh(page)
            self._advance(page, now)
            if self._seen.over_limit and self._frontier is not None:
                self._seen.discard_before(before(self._frontier, self._overlap, self._time))
            if fresh:
                yield fresh
        self._cursor = self._ahead = None

    def _next(self, cursor: Cursor[Document] | CommandCursor[Document]) -> list[Document]:
        """The next page; the one after it is fetched in the background meanwhile."""
        ahead = self._ahead or self._fetcher.submit(cursor.to_list, self._page)
        self._ahead = None
        page = ahead.result()
        if len(page) == self._page:
            self._ahead = self._fetcher.submit(cursor.to_list, self._page)
        return page

    def is_of_kind(self, document: Mapping[str, Any]) -> bool:
        """Return True if the document's time is of the kind that this reader reads."""
        return isinstance(value_at(document, self._field), TYPES[self._kind])

    def fresh(self, documents: Sequence[Document]) -> list[Document]:
        """Return the documents that were not seen before; they count as seen from now on."""
        keys = [self._key(document) for document in documents]
        times = self._times(documents)
        if self._kind in ("timestamp", "object id"):
            for document, time in zip(documents, times, strict=True):
                set_at(document, self._field, time)
        return list(compress(documents, self._seen.add(keys, times)))

    def _key(self, document: Document) -> Any:
        identity = document["_id"]
        key = repr(identity) if isinstance(identity, dict | list) else identity
        return (key, document.pop(_PLACE, None)) if self._unwind else key

    def _find(
        self, now: datetime, overlap: timedelta
    ) -> Cursor[Document] | CommandCursor[Document]:
        bound = self._bound(self._since(now, overlap))
        condition = {"$type": KINDS[self._kind]} | ({} if bound is None else {"$gte": bound})
        if self._unwind:
            return self._collection.aggregate([
                *self._elements({self._field: condition}),
                {"$project": self._projection | {_PLACE: 1}}, {"$sort": {self._field: 1}},
            ], batchSize=self._page, allowDiskUse=True)  # fmt: skip
        return self._collection.find(
            {self._field: condition}, self._projection, sort=[(self._field, 1)],
            batch_size=self._page,
        )  # fmt: skip

    def _elements(self, condition: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Stages for the elements that fulfil `condition`; the first one can use an index."""
        element = {"path": f"${self._unwind}", "includeArrayIndex": _PLACE}
        return [{"$match": condition}, {"$unwind": element}, {"$match": condition}]

    def _since(self, now: datetime, overlap: timedelta) -> Any:
        if self._frontier is not None:
            return before(self._frontier, overlap, self._time)
        like = self._sample()
        return None if like is None else since(now - self._history, like, self._time)

    def _sample(self) -> Any:
        """A time of the kind, in its form; None without one."""
        condition = {self._field: {"$type": KINDS[self._kind]}}
        if self._unwind:
            documents = self._collection.aggregate([*self._elements(condition), {"$limit": 1}])
            sample = next(iter(documents), None)
        else:
            sample = self._collection.find_one(condition, {self._field: 1}, sort=[("$natural", -1)])
        return None if sample is None else as_time(value_at(sample, self._field))

    def _bound(self, time: Any) -> Any:
        """A bound as MongoDB compares it with values of the kind."""
        if isinstance(time, datetime):
            if self._kind == "timestamp":
                return Timestamp(max(0, int(time.timestamp())), 0)
            if self._kind == "object id":
                return ObjectId.from_datetime(time)
        return time

    def _times(self, documents: Sequence[Document]) -> list[Any]:
        """Their times; None for a date outside Python's range."""
        values = _column(documents, self._field)
        return [None if isinstance(v, DatetimeMS) else v for v in values]

    def _advance(self, documents: Sequence[Document], now: datetime) -> None:
        # A document from the future is handed over, to be rejected, but must not move the position.
        latest = now + self._limits.max_ahead
        last = newest(_column(documents, self._field), self._time, latest)
        if last is not None and (self._frontier is None or last > self._frontier):
            self._frontier = last


def _column(documents: Sequence[Document], path: str) -> list[Any]:
    """The values at `path` as times: a Decimal128 as a float."""
    if "." in path:
        values = [value_at(document, path) for document in documents]
    else:
        values = [document.get(path) for document in documents]
    return [float(v.to_decimal()) if v.__class__ is Decimal128 else as_time(v) for v in values]


def _encode_position(value: Any) -> Any:
    return {"at": value.isoformat()} if isinstance(value, datetime) else value


def _decode_position(position: Any) -> Any:
    if isinstance(position, dict):
        return datetime.fromisoformat(position["at"]).astimezone(UTC)
    return position
