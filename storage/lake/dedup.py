"""What the writer remembers of the lake, so that an everyday commit need not ask it."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from storage.inbox.commit_batch import Spans
from storage.inbox.segment import Provenance
from storage.lake.transaction import WriteConnection
from storage.model.schema import Table

__all__ = ["CommittedBatches", "NewestTimes"]

REMEMBERED = timedelta(days=3)
# A sender's clock may be ahead of the commit; what is older than this margin is asked of the lake.
CLOCK_MARGIN = timedelta(days=1)
MAX_REMEMBERED = 500_000
LOOKBACK = timedelta(hours=25)  # who asks for a day gets all of it
NEVER_US, ALWAYS_US = -(1 << 63), 1 << 63


class CommittedBatches:
    """Which batches were committed: recent ones from memory, older ones from the lake."""

    def __init__(self, connection: WriteConnection) -> None:
        self._connection = connection
        self._load()

    def known(self, batches: Iterable[Provenance]) -> set[str]:
        """Those ids among `batches` that were committed."""
        batches = list(batches)
        old = [b.batch_id for b in batches if b.created_at < self._since + CLOCK_MARGIN]
        found = {b.batch_id for b in batches} & self._recent
        return found | self.in_lake(old) if old else found

    def in_lake(self, ids: list[str]) -> set[str]:
        """Those of `ids` that stand in the ledger, asked of the lake itself."""
        if not ids:
            return set()
        return self._connection.column(
            "SELECT batch_id FROM segments WHERE batch_id IN $ids", ids=ids
        )

    def add(self, ids: Iterable[str]) -> None:
        """These were committed now."""
        self._recent |= set(ids)
        if len(self._recent) > MAX_REMEMBERED:
            self._load()

    def _load(self) -> None:
        newest = self._connection.value("SELECT max(ts) FROM segments")
        self._since: datetime = (newest or datetime.now(UTC)) - REMEMBERED
        self._recent: set[str] = self._connection.column(
            "SELECT batch_id FROM segments WHERE ts >= $since", since=self._since
        )


class NewestTimes:
    """The newest row of each server in a table: what comes later cannot be there already."""

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
        # A server that is not among these has older rows, if any.
        self._otherwise = ALWAYS_US if older else NEVER_US

    def all_later(self, spans: Spans) -> bool:
        """Whether each of these rows is later than all that the lake has of its server."""
        held, otherwise = self.at, self._otherwise
        return all(first > held.get(server, otherwise) for server, (first, _) in spans.items())

    def add(self, spans: Spans) -> None:
        """These are in the lake now."""
        for server, (_, last) in spans.items():
            self.at[server] = max(last, self.at.get(server, last))

    def forget(self, servers: Iterable[str]) -> None:
        """Nothing is known of these any more."""
        for server in servers:
            self.at.pop(server, None)
