"""The documents of a collection in the order of time, each handed over once."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import compress
from typing import Any

from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from pymongo.collection import Collection
from pymongo.cursor import Cursor

from functions.connectors.connector import ReadOptions
from functions.connectors.lookback import SeenKeys
from functions.connectors.mongodb.mongodb_connection import MongoConnection
from functions.normalize.columns import projection
from functions.normalize.time_bounds import before, newest, since
from storage.inbox.validation import MAX_FUTURE
from storage.model.periods import parse_period

__all__ = ["KINDS", "TYPES", "CursorReader", "Document", "at"]

Document = dict[str, Any]

# The kinds of values that a time field may hold; MongoDB compares only values of one kind.
KINDS = {"date": "date", "text": "string", "number": "number"}
TYPES: dict[str, tuple[type, ...]] = {
    "date": (datetime, DatetimeMS), "text": (str,), "number": (int, float, Decimal128),
}  # fmt: skip


class CursorReader:
    """The documents of a collection whose times are of one kind, read in the order of time.

    `position` is the newest time that was read. What was handed over within the overlap before it
    is remembered, so that reading it again hands over only what has come since.
    """

    def __init__(
        self,
        collection: Collection[Document],
        field: str,
        kind: str,
        wanted: ReadOptions,
        connection: MongoConnection,
        position: Any | None,
    ) -> None:
        self._collection = collection
        self._field, self._kind, self._time = field, kind, wanted.time
        self._history = wanted.history
        self._projection = dict.fromkeys([*projection((*wanted.fields, field)), "_id"], 1)
        self._page, self._overlap = connection.page, parse_period(connection.overlap)
        self._frontier = _unpacked(position)
        self._given = SeenKeys()
        self._cursor: Cursor[Document] | None = None
        self._ahead: Future[list[Document]] | None = None
        self._fetcher = ThreadPoolExecutor(1, f"mongodb {kind}")

    @property
    def position(self) -> Any:
        """The frontier as JSON can hold it."""
        return _packed(self._frontier)

    @property
    def under_way(self) -> bool:
        """Whether a read was left in the middle, and goes on there."""
        return self._cursor is not None

    def read(self, now: datetime, overlap: timedelta) -> Iterator[list[Document]]:
        """Pages of what has come since `overlap` before the frontier; each document once."""
        if self._cursor is None:
            self._cursor = self._find(now, overlap)
        while batch := self._next(self._cursor):
            fresh = self.fresh(batch)
            self._advance(batch, now)
            if self._given.crowded and self._frontier is not None:
                self._given.forget(before(self._frontier, self._overlap, self._time))
            if fresh:
                yield fresh
        self._cursor = self._ahead = None

    def _next(self, cursor: Cursor[Document]) -> list[Document]:
        """The next page; the one after it is fetched while this one is looked at."""
        ahead = self._ahead or self._fetcher.submit(cursor.to_list, self._page)
        self._ahead = None
        batch = ahead.result()
        if len(batch) == self._page:
            self._ahead = self._fetcher.submit(cursor.to_list, self._page)
        return batch

    def holds(self, document: Mapping[str, Any]) -> bool:
        """Whether the document's time is of this strand's kind."""
        return isinstance(at(document, self._field), TYPES[self._kind])

    def fresh(self, documents: Sequence[Document]) -> list[Document]:
        """Those of the documents that are new; from now on they are not."""
        keys = [_key(document["_id"]) for document in documents]
        return list(compress(documents, self._given.take(keys, self._times(documents))))

    def _find(self, now: datetime, overlap: timedelta) -> Cursor[Document]:
        bound = self._since(now, overlap)
        condition = {"$type": KINDS[self._kind]} | ({} if bound is None else {"$gte": bound})
        return self._collection.find(
            {self._field: condition}, self._projection, sort=[(self._field, 1)],
            batch_size=self._page,
        )  # fmt: skip

    def _since(self, now: datetime, overlap: timedelta) -> Any:
        if self._frontier is not None:
            return before(self._frontier, overlap, self._time)
        sample = self._collection.find_one(
            {self._field: {"$type": KINDS[self._kind]}}, {self._field: 1}, sort=[("$natural", -1)]
        )
        if sample is None:
            return None
        return since(now - self._history, at(sample, self._field), self._time)

    def _times(self, documents: Sequence[Document]) -> list[Any]:
        """Their times; None for one that Python cannot hold."""
        values = _column(documents, self._field)
        return [None if isinstance(v, DatetimeMS) else v for v in values]

    def _advance(self, documents: Sequence[Document], now: datetime) -> None:
        # What lies in the future is handed over, to be refused, and nothing waits there.
        found = newest(_column(documents, self._field), self._time, now + MAX_FUTURE)
        if found is not None and (self._frontier is None or found > self._frontier):
            self._frontier = found


def at(document: Mapping[str, Any], path: str) -> Any:
    if path in document:
        return document[path]
    value: Any = document
    for step in path.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


def _column(documents: Sequence[Document], path: str) -> list[Any]:
    """The times of documents, decimals as plain numbers."""
    if "." in path:
        values = [at(document, path) for document in documents]
    else:
        values = [document.get(path) for document in documents]
    return [float(v.to_decimal()) if v.__class__ is Decimal128 else v for v in values]


def _key(identity: Any) -> Any:
    return repr(identity) if isinstance(identity, dict | list) else identity


def _packed(value: Any) -> Any:
    return {"at": value.isoformat()} if isinstance(value, datetime) else value


def _unpacked(position: Any) -> Any:
    if isinstance(position, dict):
        return datetime.fromisoformat(position["at"]).astimezone(UTC)
    return position
