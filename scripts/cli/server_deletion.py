"""`hoursight delete`: all rows of a server, by the running writer or by one of our own."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from functions.connectors.folder_erasure import FileErasure, erase_in_folder, watched_folders
from functions.delivery.outbox_erasure import erase_from_outbox
from storage.config.folders import Folders
from storage.config.settings import read_settings
from storage.errors import HoursightError
from storage.inbox import segment
from storage.inbox.notify import pending_segments
from storage.lake.writer import Writer, WriterRunning
from storage.model.names import check_name, erased_name
from storage.model.schema import TABLES
from storage.query.reader import Reader

__all__ = ["NotDeleted", "UnknownServer", "count_rows", "delete_server", "question"]

Print = Callable[[str], None]

WAIT_S = 120.0
CHECK_EVERY_S = 0.2
NAME_REMEDY = "write it as the site shows it"


class UnknownServer(HoursightError):
    """The lake has no row of a server with that name."""


class NotDeleted(HoursightError):
    """The deletion is in the inbox, and the writer has not executed it yet."""


def count_rows(data: Path, server: str) -> int:
    """Return the number of rows of a server.

    Raises InvalidName, and UnknownServer, which lists similar names.
    """
    server = check_name("server", server, NAME_REMEDY)
    with closing(Reader.open(data)) as reader:
        counts = " + ".join(
            f"(SELECT count(*) FROM {t.name} WHERE {t.of_server})" for t in TABLES if t.of_server
        )
        rows = int(reader.query(f"SELECT {counts} AS n", server=server)["n"][0].as_py())
        if not rows:
            raise UnknownServer(f"no server {server!r}{_similar(reader, server)}")
        return rows


def delete_server(data: Path, server: str, why: str | None, say: Print) -> None:
    """Delete a server by the running writer, or without one here, and print what was deleted.

    Raises InvalidName and NotDeleted.
    """
    folders, requested_at = Folders.at(data), datetime.now(UTC)
    server = check_name("server", server, NAME_REMEDY)
    row = {"server": server, "ts": requested_at, "why": why}
    segment.write_row(folders, "deletions", "command", row)
    _commit_without_running_writer(folders)
    for each in _deleted(folders, server, requested_at):
        say(f"{each['rows']:>12,} rows from {each['table']}")
    if messages := erase_from_outbox(folders, server, read_settings(data), requested_at):
        say(f"{messages:>12,} texts in {folders.outbox.name}")
    for result in in_watched_folders(folders, server, dry=False):
        say(_sentence(result, server))
    say(
        f"{server} is deleted; the table deletions keeps it as {erased_name(server)}. The files "
        "of the lake that contained it are removed within an hour of a running system."
    )
    say(
        "Backups made before, and logs of the processes where you keep them (such as the "
        "journal), may still name it. If it sends again, it is "
        + (
            "refused, as [deletions] says."
            if read_settings(data).deletions.returning == "refuse"
            else 'back, and its page says so; returning = "refuse" under [deletions] refuses it.'
        )
    )


def question(data: Path, server: str) -> str:
    """Return what is asked before a deletion: how many rows and files there are."""
    rows = count_rows(data, server)
    folders = Folders.at(data)
    files = sum(not each.left for each in in_watched_folders(folders, server, dry=True))
    more = f", and its records in {files:,} files of watched folders," if files else ""
    return f"Delete {rows:,} rows of {server}{more} for good?"


def in_watched_folders(folders: Folders, server: str, *, dry: bool) -> Iterator[FileErasure]:
    """Yield the files of watched folders that name a server; its records go unless it is `dry`."""
    known, refused = watched_folders(folders)
    yield from refused
    for folder in known:
        yield from erase_in_folder(folder, server, dry=dry)


def _sentence(result: FileErasure, server: str) -> str:
    if result.left:
        return f"! {result.path} is left and may name {server}: {result.left}"
    removed = ": the file is removed" if result.removed else ""
    return f"{result.records:>12,} records from {result.path}{removed}"


def _commit_without_running_writer(folders: Folders) -> None:
    try:
        writer = Writer.open(folders.data)
    except WriterRunning:
        return
    with closing(writer):
        while pending_segments(folders.data):
            writer.commit_waiting(datetime.now(UTC))


def _deleted(folders: Folders, server: str, requested_at: datetime) -> list[dict[str, Any]]:
    """Wait for the writer, and return the deleted rows by table. Raises NotDeleted."""
    give_up = time.monotonic() + WAIT_S
    with closing(Reader.open(folders.data)) as reader:
        while time.monotonic() < give_up:
            rows = reader.query(
                "SELECT went FROM deletions WHERE server = $server AND ts = $requested_at",
                server=erased_name(server), requested_at=requested_at,
            )  # fmt: skip
            if rows.num_rows:
                return list(rows["went"][0].as_py() or ())
            time.sleep(CHECK_EVERY_S)
    raise NotDeleted(
        f"the writer has not deleted {server} within {WAIT_S:.0f} s",
        "it will when it commits again; see 'hoursight doctor'",
    )


def _similar(reader: Reader, server: str) -> str:
    names = reader.query(
        "SELECT server FROM servers ORDER BY levenshtein(server, $server) LIMIT 3", server=server
    )["server"].to_pylist()
    return f": did you mean {', '.join(names)}?" if names else ": there is none yet"
