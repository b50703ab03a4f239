"""What senders say of their servers beside metrics (profile, site, cores), while it is news."""

import threading
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec
import pyarrow as pa

from storage.model.profiles import stated_profile
from storage.model.schema import table

__all__ = ["ServerFact", "ServerFacts"]

MAX_SERVERS = 50_000


class ServerFact(msgspec.Struct, frozen=True):
    """What was said of a server, and when [microseconds since 1970]."""

    moment: int
    profile: str | None = None
    site: str | None = None
    cores: int | None = None

    @property
    def told(self) -> tuple[str | None, str | None, int | None]:
        """What can be news."""
        return self.profile, self.site, self.cores


class ServerFacts:
    """Knows what was said last; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, tuple[str | None, str | None, int | None]] = {}

    def news(self, facts: Mapping[str, ServerFact]) -> dict[str, pa.Table]:
        """Rows of `server_facts` for what was not said before."""
        with self._lock:
            known = {server: self._known.get(server) for server in facts}
        rows = [
            {
                "server": server, "ts": datetime.fromtimestamp(fact.moment / 1e6, UTC),
                "profile": stated_profile(fact.profile), "site": fact.site, "cores": fact.cores,
            }
            for server, fact in facts.items()
            if known[server] != fact.told
        ]  # fmt: skip
        if not rows:
            return {}
        return {"server_facts": pa.Table.from_pylist(rows, table("server_facts").arrow)}

    def remember(self, facts: Mapping[str, ServerFact]) -> None:
        """These were said."""
        with self._lock:
            if len(self._known) > MAX_SERVERS:
                self._known.clear()
            self._known.update({server: fact.told for server, fact in facts.items()})
