"""Progress of servers whose source is loading their history."""

from collections.abc import Sequence
from datetime import datetime

from storage.model.severity import AlertLevel
from storage.query.reader import Reader
from web.display.server_status import Loading, ServerStatus
from web.display.source_status import read_sources
from web.lake_session import sql

__all__ = ["loading_servers", "with_loading"]


def with_loading(
    servers: Sequence[ServerStatus], reader: Reader, now: datetime
) -> list[ServerStatus]:
    """Return the servers; a stale one whose source is loading its history has the progress."""
    if not any(server.stale for server in servers):
        return list(servers)
    loading = loading_servers(reader, now)
    return [
        server.while_loading(loading[server.server])
        if server.stale and server.server in loading
        else server
        for server in servers
    ]


def loading_servers(reader: Reader, now: datetime) -> dict[str, Loading]:
    """Return the progress of each server of which a source has just loaded samples."""
    progress: dict[str, Loading] = {}
    for source in read_sources(reader, now):
        backfill = source.backfill
        if backfill is None or source.level != AlertLevel.OK:
            continue
        loading = Loading(backfill.reached, backfill.share(now))
        rows = reader.query(sql("loading"), source=source.source, reached=backfill.reached)
        progress |= dict.fromkeys(rows["server"].to_pylist(), loading)
    return progress
