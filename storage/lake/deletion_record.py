"""Deletions on record: which servers the table `deletions` has, and those that send again."""

import logging
from collections.abc import Iterable
from datetime import UTC

from storage.config.deleted_servers import DeletedServers, record_deleted
from storage.lake.transaction import WriteConnection

__all__ = ["publish_deletions", "report_returned"]

log = logging.getLogger(__name__)


def publish_deletions(connection: WriteConnection) -> None:
    """Write the file of deleted servers, from the table. Raises duckdb.Error and OSError."""
    rows = connection.run("SELECT server, max(ts) FROM deletions GROUP BY server").fetchall()
    times = {server: ts.astimezone(UTC) for server, ts in rows}
    record_deleted(connection.folders, times)


def report_returned(deleted: DeletedServers, servers: Iterable[str]) -> None:
    """Log which of the servers that are new in the lake were deleted before."""
    for server in sorted(servers):
        at = deleted.deleted_at(server)
        if at is not None:
            log.warning(
                "%s was deleted at %s and sends again: stop its source, or write returning = "
                '"refuse" under [deletions] in the settings', server, f"{at:%Y-%m-%d %H:%M} UTC",
            )  # fmt: skip
