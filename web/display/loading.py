"""Servers whose source is still loading their history."""

from collections.abc import Sequence
from datetime import datetime

from storage.query.reader import Reader
from web.display.server_status import Loading, ServerStatus
from web.display.source_status import read_sources
from web.lake_session import sql

__all__ = ["with_loading"]


def with_loading(
    servers: Sequence[ServerStatus], reader: Reader, now: datetime
) -> list[ServerStatus]:
    """Return the servers, those without recent samples marked that a source loads history of."""
    if not any(server.silent for server in servers):
        return list(servers)
    loading = _loading(reader, now)
    return [
        server.while_loading(loading[server.server])
        if server.silent and server.server in loading
        else server
        for server in servers
    ]


def _loading(reader: Reader, now: datetime) -> dict[str, Loading]:
    """Return the progress of each server that a source has just loaded samples of."""
    progress: dict[str, Loading] = {}
    for source in read_sources(reader, now):
        fetch = source.catching_up
        if fetch is None or source.mood != "good":
            continue
        loading = Loading(fetch.reached, fetch.share(now))
        rows = reader.query(sql("loading"), source=source.source, reached=fetch.reached)
        progress |= dict.fromkeys(rows["server"].to_pylist(), loading)
    return progress
