"""PIT search: reads an index in time order, as it was when its point in time was opened."""

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
    check_complete,
    is_of_kind,
    shard_errors,
)
from storage.model.periods import parse_period

__all__ = ["DATES", "NUMBERS", "Hit", "PitSearch", "TimeField"]

# Much longer than a run, so that a search may continue over several.
KEEP_ALIVE = "2m"
MAX_EXPIRIES = 3
# Closing a point in time is a courtesy: a slow server must not delay the run.
CLOSE_TIMEOUT_S = 1.0

DATES = ("date", "date_nanos")
NUMBERS = ("long", "unsigned_long", "integer", "double", "float", "scaled_float")

Hit = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TimeField:
    """The field that orders the documents: a date, or a number of units of 1/`per_ms` ms."""

    name: str
    per_ms: float | None = None

    def query_since(self, since_ms: int) -> dict[str, Any]:
        """The query for documents at `since_ms` (epoch milliseconds) or later."""
        if self.per_ms is not None:
            return {"range": {self.name: {"gte": since_ms * self.per_ms}}}
        return {"range": {self.name: {"gte": since_ms, "format": "epoch_millis"}}}

    @property
    def sort(self) -> dict[str, Any]:
        """The sort clause; an index that lacks the field is not an error."""
        if self.per_ms is not None:
            return {self.name: {"order": "asc", "unmapped_type": "long"}}
        # As dates, values of date and date_nanos compare, and both come back in milliseconds.
        return {self.name: {"order": "asc", "numeric_type": "date", "unmapped_type": "date"}}

    def ms(self, hit: Hit) -> int:
        """The time of a hit in epoch milliseconds, rounded."""
        value: float = hit["sort"][0]
        return round(value / (self.per_ms or 1))


class PitSearch:
    """Pages of hits from `since_ms` on, in a total order: time, then place in the index.

    The place is only valid within one point in time. When that expires, another one is opened and
    read from the last time on. The caller filters out the documents it already has, and calls
    `reset_expiries` whenever there were new ones.
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
        self._pit_id: str | None = None
        self._after: list[Any] | None = None
        self._expiries = 0
        self._exhausted = False

    def page(self) -> list[Hit] | None:
        """Return the next hits, or None at the end.

        Raises Unreachable when shards fail or points in time keep expiring, ApiError or
        TransportError when the request fails.
        """
        if self._exhausted:
            return None
        while (response := self._request()) is None:
            self._reopen()
        check_complete(response, self._connection.index)
        hits: list[Hit] = response["hits"]["hits"]
        self._exhausted = len(hits) < self._connection.page
        if not hits:
            return None
        self._after = hits[-1]["sort"]
        return hits

    def reset_expiries(self) -> None:
        """Start counting expiries anew, because new documents were read."""
        self._expiries = 0

    def close(self) -> None:
        """Close the point in time; one that cannot be closed expires by itself."""
        pit_id, self._pit_id = self._pit_id, None
        if pit_id is not None:
            with suppress(ApiError, TransportError):
                self._client.options(request_timeout=CLOSE_TIMEOUT_S).close_point_in_time(id=pit_id)

    def _request(self) -> Mapping[str, Any] | None:
        """The response; None when the point in time has expired, on some shards or on all."""
        try:
            if self._pit_id is None:
                opened = self._client.open_point_in_time(
                    index=self._connection.index, keep_alive=KEEP_ALIVE
                )
                self._pit_id = opened["id"]
            result = self._client.search(**self._search_body())
        except ApiError as error:
            if not is_of_kind(error, EXPIRED):
                raise
            return None
        response: Mapping[str, Any] = result.body
        self._pit_id = response.get("pit_id", self._pit_id)
        return None if EXPIRED in shard_errors(response) else response

    def _search_body(self) -> dict[str, Any]:
        timeout_ms = int(parse_period(self._connection.timeout) / timedelta(milliseconds=1))
        search = {
            "pit": {"id": self._pit_id, "keep_alive": KEEP_ALIVE}, "size": self._connection.page,
            "query": {"bool": {"filter": [self._field.query_since(self._since_ms)]}},
            "sort": [self._field.sort, {"_shard_doc": {"order": "asc"}}],
            "source": {"includes": self._fields}, "track_total_hits": False,
            "timeout": f"{timeout_ms}ms",
        }  # fmt: skip
        return search if self._after is None else search | {"search_after": self._after}

    def _reopen(self) -> None:
        """Have the next request open another point in time, from the last time on."""
        self._expiries += 1
        if self._expiries > MAX_EXPIRIES:
            raise Unreachable(
                f"{MAX_EXPIRIES} points in time of {self._connection.index!r} in a row expired "
                "before a page was read: write a smaller page, or have the cluster checked"
            )
        self.close()  # some shards may still hold it
        if self._after is not None:
            self._since_ms = self._field.ms({"sort": self._after}) - 1  # the time may be rounded up
            self._after = None
