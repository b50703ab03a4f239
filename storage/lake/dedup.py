"""Dedup cache: known batches and newest times, so that most commits need no query."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from storage.inbox.commit_batch import Spans
from storage.inbox.segment import Provenance
from storage.lake.transaction import WriteConnection
from storage.model.schema import Table

__all__ = ["CommittedBatches", "NewestTimes"]

CACHED = timedelta(days=3)
# A sender's clock may be ahead of the commit; older batches are looked up in the lake.
CLOCK_MARGIN = timedelta(days=1)
MAX_CACHED = 500_000
LOOKBACK = timedelta(hours=25)  # a full day and a margin
NEVER_US, ALWAYS_US = -(1 << 63), 1 << 63


class CommittedBatches:
    """The ids of committed batches: recent ones from memory, older ones from the lake."""

    def __init__(self, connection: WriteConnection) -> None:
        self._connection = connection
        self._load()

    @property
    def last_commit(self) -> datetime | None:
        """The time of the newest commit when the ids were read."""
        return self._newest

    def known(self, batches: Iterable[Provenance]) -> set[str]:
        """The ids among `batches` that were committed."""
        batches = list(batches)
        old = [b.batch_id for b in batches if b.created_at < self._since + CLOCK_MARGIN]
        committed = {b.batch_id for b in batches} & self._recent
        return committed | self.in_lake(old) if old else committed

    def in_lake(self, ids: list[str]) -> set[str]:
        """The ids among `ids` that are in the commit log, by a query."""
        if not ids:
            return set()
        return self._connection.column(
            "SELECT batch_id FROM segments WHERE batch_id IN $ids", ids=ids
        )

    def add(self, ids: Iterable[str]) -> None:
        """Add the ids of batches that were just committed."""
        self._recent |= set(ids)
        if len(self._recent) > MAX_CACHED:
            self._load()

    def _load(self) -> None:
        self._newest: datetime | None = self._connection.value("SELECT max(ts) FROM segments")
        self._since: datetime = (self._newest or datetime.now(UTC)) - CACHED
        self._recent: set[str] = set()
        if self._newest is not None:
            self._recent = self._connection.column(
                "SELECT batch_id FROM segments WHERE ts >= $since", since=self._since
            )


class NewestTimes:
    """The time of each server's newest row in a table: a later row cannot be in the lake."""

    def __init__(self, connection: WriteConnection, target: Table) -> None:
        name, time = target.name, target.time
        newest = connection.value(f"SELECT max({time}) FROM {name}")
        since = newest and newest - LOOKBACK
        rows = connection.run(
            f"SELECT server, epoch_us(max({time})) FROM {name} WHERE {time} >= $since "
            "GROUP BY server",
            since=since,
        ).fetchall()
        self.at: dict[str, int] = dict(rows)
        older = connection.value(f"SELECT 1 FROM {name} WHERE {time} < $since LIMIT 1", since=since)
        # Any rows of a server that is absent here are older.
        self._otherwise = ALWAYS_US if older else NEVER_US

    def all_later(self, spans: Spans) -> bool:
        """Return True if all rows are later than the newest row of their server."""
        newest, otherwise = self.at, self._otherwise
        return all(first > newest.get(server, otherwise) for server, (first, _) in spans.items())

    def add(self, spans: Spans) -> None:
        """Add rows that were just committed."""
        for server, (_, last) in spans.items():
            self.at[server] = max(last, self.at.get(server, last))

    def forget(self, servers: Iterable[str]) -> None:
        """Remove servers whose rows were deleted."""
        for server in servers:
            self.at.pop(server, None)
