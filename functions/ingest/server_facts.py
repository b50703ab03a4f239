"""Facts of servers (profile, site, cores) that senders state: written when they change."""

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
    """What a record states of its server; `ts_us` is in microseconds since 1970."""

    ts_us: int
    profile: str | None = None
    site: str | None = None
    cores: int | None = None

    @property
    def stated(self) -> tuple[str | None, str | None, int | None]:
        """The facts without their time."""
        return self.profile, self.site, self.cores


class ServerFacts:
    """Remembers the last facts of each server; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, tuple[str | None, str | None, int | None]] = {}

    def changed(self, facts: Mapping[str, ServerFact]) -> dict[str, pa.Table]:
        """Return rows of `server_facts` for the facts that differ from the remembered ones."""
        with self._lock:
            known = {server: self._known.get(server) for server in facts}
        rows = [
            {
                "server": server, "ts": datetime.fromtimestamp(fact.ts_us / 1e6, UTC),
                "profile": stated_profile(fact.profile), "site": fact.site, "cores": fact.cores,
            }
            for server, fact in facts.items()
            if known[server] != fact.stated
        ]  # fmt: skip
        if not rows:
            return {}
        return {"server_facts": pa.Table.from_pylist(rows, table("server_facts").arrow)}

    def remember(self, facts: Mapping[str, ServerFact]) -> None:
        """Remember facts that have been written."""
        with self._lock:
            if len(self._known) > MAX_SERVERS:
                self._known.clear()
            self._known.update({server: fact.stated for server, fact in facts.items()})
