"""Profiles by host name: patterns of the settings, for servers whose records state no profile."""

import logging
from collections.abc import Collection
from datetime import UTC, datetime

import pyarrow as pa

from storage.lake.transaction import WriteConnection
from storage.model.profiles import GENERIC, Patterns, profile_of
from storage.model.schema import table

__all__ = ["PATTERN_TIME", "assign_profiles", "pattern_rows"]

log = logging.getLogger(__name__)

# The view `servers` shows the newest profile: a profile that a record states is always newer.
PATTERN_TIME = datetime(1970, 1, 1, tzinfo=UTC)


def pattern_rows(servers: Collection[str], patterns: Patterns) -> pa.Table:
    """Rows of `server_facts`, in the order of their key, for the servers that a pattern matches."""
    by_name = {server: profile_of(server, patterns=patterns) for server in sorted(servers)}
    rows = [
        {"server": server, "ts": PATTERN_TIME, "profile": profile}
        for server, profile in by_name.items()
        if profile != GENERIC
    ]
    return pa.Table.from_pylist(rows, table("server_facts").arrow)


def assign_profiles(
    connection: WriteConnection, servers: Collection[str], patterns: Patterns
) -> int:
    """Bring the profiles by host name of all servers up to `patterns`; return how many changed."""
    if not servers:
        return 0
    facts = table("server_facts")
    stored = connection.run(
        "SELECT server, profile FROM server_facts WHERE ts = $ts", ts=PATTERN_TIME
    ).to_arrow_table()
    before = dict(zip(*(stored[n].to_pylist() for n in ("server", "profile")), strict=True))
    rows = pattern_rows(servers, patterns)
    after = dict(zip(*(rows[n].to_pylist() for n in ("server", "profile")), strict=True))
    changed = {s for s in before.keys() | after.keys() if before.get(s) != after.get(s)}
    if not changed:
        return 0

    def replace_all() -> None:
        began = datetime.now(UTC)
        outdated = pa.table({"server": pa.array(sorted(changed & before.keys()), pa.string())})
        if outdated.num_rows:
            connection.stage("outdated", outdated, "FROM incoming")
            connection.run(
                "DELETE FROM server_facts USING outdated "
                "WHERE server_facts.server = outdated.server AND ts = $ts",
                ts=PATTERN_TIME,
            )
        new = [row for row in rows.to_pylist() if row["server"] in changed]
        if new:
            connection.append(facts, pa.Table.from_pylist(new, facts.arrow), began)
        connection.sync(facts, began)

    connection.transaction(replace_all)
    log.info("the profiles by host name changed for %d servers", len(changed))
    return len(changed)
