"""One passage through an index in the order of time, as it was when the passage began."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from elasticsearch import ApiError, Elasticsearch, TransportError

from functions.connectors.connector import Unreachable
from functions.connectors.elasticsearch.elasticsearch_connection import ElasticsearchConnection
from functions.connectors.elasticsearch.elasticsearch_errors import (
    EXPIRED,
    answer_of,
    causes,
    is_of_kind,
)
from storage.model.periods import parse_period

__all__ = ["DATES", "NUMBERS", "Hit", "PitSearch", "TimeField"]

# Much longer than a run, so that one passage may go on through several.
KEEP_ALIVE = "2m"
MAX_EXPIRIES = 3
# A server that is slow to take a point in time back does not hold a run up.
FAREWELL_S = 1.0

DATES = ("date", "date_nanos")
NUMBERS = ("long", "unsigned_long", "integer", "double", "float", "scaled_float")

Hit = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TimeField:
    """The field that orders the documents: a date, or a number with so many to the millisecond."""

    name: str
    per_ms: float | None = None

    def later(self, since_ms: int) -> dict[str, Any]:
        """The query for what has this time or a later one."""
        if self.per_ms is not None:
            return {"range": {self.name: {"gte": since_ms * self.per_ms}}}
        return {"range": {self.name: {"gte": since_ms, "format": "epoch_millis"}}}

    @property
    def order(self) -> dict[str, Any]:
        """The sort: an index without the field has nothing to say, which is no error."""
        if self.per_ms is not None:
            return {self.name: {"order": "asc", "unmapped_type": "long"}}
        # date and date_nanos compare, and both answer in milliseconds.
        return {self.name: {"order": "asc", "numeric_type": "date", "unmapped_type": "date"}}

    def ms(self, hit: Hit) -> int:
        """The time of a hit, to the nearest millisecond since 1970."""
        value: float = hit["sort"][0]
        return round(value / (self.per_ms or 1))


class PitSearch:
    """Pages of hits from a time on, in a total order: time, then place in the index.

    The place counts only as long as the point in time does. When that expires, another is opened
    and read from the last time on; what of it was handed over already is for the caller to know,
    who says with `went_on` when there was something new.
    """

    def __init__(
        self,
        client: Elasticsearch,
        connection: ElasticsearchConnection,
        field: TimeField,
        fields: Sequence[str],
        since_ms: int,
    ) -> None:
        self._client, self._connection, self._field = client, connection, field
        self._fields, self._since_ms = list(fields), since_ms
        self._point: str | None = None
        self._after: list[Any] | None = None
        self._expiries = 0
        self._through = False

    def page(self) -> list[Hit] | None:
        """The next hits; None when it is through. Raises Unreachable where shards are silent."""
        if self._through:
            return None
        while (answer := self._answer()) is None:
            self._expired()
        hits: list[Hit] = answer_of(answer, self._connection.index)["hits"]["hits"]
        self._through = len(hits) < self._connection.page
        if not hits:
            return None
        self._after = hits[-1]["sort"]
        return hits

    def went_on(self) -> None:
        """New documents came: an expiry from now on is the first one again."""
        self._expiries = 0

    def close(self) -> None:
        """Give the point in time back; one that cannot be given back expires."""
        point, self._point = self._point, None
        if point is not None:
            with suppress(ApiError, TransportError):
                self._client.options(request_timeout=FAREWELL_S).close_point_in_time(id=point)

    def _answer(self) -> Mapping[str, Any] | None:
        """What the server says; None when the point in time has expired, on some shards or all."""
        try:
            if self._point is None:
                opened = self._client.open_point_in_time(
                    index=self._connection.index, keep_alive=KEEP_ALIVE
                )
                self._point = opened["id"]
            found = self._client.search(**self._search())
        except ApiError as error:
            if not is_of_kind(error, EXPIRED):
                raise
            return None
        answer: Mapping[str, Any] = found.body
        self._point = answer.get("pit_id", self._point)
        return None if EXPIRED in causes(answer) else answer

    def _search(self) -> dict[str, Any]:
        timeout_ms = int(parse_period(self._connection.timeout) / timedelta(milliseconds=1))
        search = {
            "pit": {"id": self._point, "keep_alive": KEEP_ALIVE}, "size": self._connection.page,
            "query": {"bool": {"filter": [self._field.later(self._since_ms)]}},
            "sort": [self._field.order, {"_shard_doc": {"order": "asc"}}],
            "source": {"includes": self._fields}, "track_total_hits": False,
            "timeout": f"{timeout_ms}ms",
        }  # fmt: skip
        return search if self._after is None else search | {"search_after": self._after}

    def _expired(self) -> None:
        self._expiries += 1
        if self._expiries > MAX_EXPIRIES:
            raise Unreachable(
                f"the points in time of {self._connection.index!r} expire before a page is read, "
                f"{MAX_EXPIRIES} in a row: write a smaller page, or have the cluster looked at"
            )
        self.close()  # some shards may still have it
        if self._after is not None:
            self._since_ms = self._field.ms({"sort": self._after}) - 1  # it may be rounded up
            self._after = None
