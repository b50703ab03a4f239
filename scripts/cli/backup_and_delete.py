"""`hoursight backup`, `restore` and `delete`: what they say while they work."""

import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from storage.config.folders import Folders
from storage.errors import HoursightError
from storage.inbox import segment
from storage.inbox.notify import pending_segments
from storage.lake.backup import Manifest, OnProgress, back_up, restore
from storage.lake.erasure import erased_name
from storage.lake.writer import Writer, WriterRunning
from storage.model.names import check_name
from storage.model.schema import TABLES
from storage.query.reader import Reader

__all__ = ["NotDone", "UnknownServer", "count_rows", "delete_server", "put_back", "take_backup"]

Print = Callable[[str], None]

WAIT_S = 120.0
LOOK_EVERY_S = 0.2
STEP_PERCENT = 10


class UnknownServer(HoursightError):
    """The lake has no row of a server of that name."""


class NotDone(HoursightError):
    """What was asked is written down and not done yet."""


def take_backup(data: Path, target: Path, say: Print) -> None:
    """Back up a data folder and say what is in it."""
    began = time.monotonic()
    manifest = back_up(data, target, _progress(say))
    size_mb = target.stat().st_size / 1e6
    say(f"{target}: {_held(manifest)}, {size_mb:.1f} MB in {time.monotonic() - began:.1f} s")


def put_back(archive: Path, data: Path, say: Print) -> None:
    """Restore a backup into a new folder and say what was verified."""
    manifest = restore(archive, data, _progress(say))
    say(f"{data}: {_held(manifest)}, as of {manifest.made_at}; each file and table verified")
    say(f"Go on with: hoursight up --data {data}")


def count_rows(data: Path, server: str) -> int:
    """How many rows there are of a server. Raises InvalidName, and UnknownServer, which says
    which names are like it."""
    server = check_name("server", server, "write it as the site shows it")
    reader = Reader.open(data)
    try:
        counts = " + ".join(
            f"(SELECT count(*) FROM {t.name} WHERE server = $server)"
            for t in TABLES
            if "server" in t.names and t.name != "deletions"
        )
        rows = int(reader.query(f"SELECT {counts} AS n", server=server)["n"][0].as_py())
        if not rows:
            raise UnknownServer(f"no server {server!r}{_like(reader, server)}")
        return rows
    finally:
        reader.close()


def delete_server(data: Path, server: str, why: str | None, say: Print) -> None:
    """Ask the writer to delete a server, or do it where none runs, and say what went."""
    folders, asked = Folders.at(data), datetime.now(UTC)
    server = check_name("server", server, "write it as the site shows it")
    row = {"server": server, "ts": asked, "why": why}
    segment.write_row(folders, "deletions", "command", row)
    _commit_where_none_runs(folders)
    for each in _outcome(folders, server, asked):
        say(f"{each['rows']:>12,} rows from {each['table']}")
    say(
        f"{server} is deleted; the ledger calls it {erased_name(server)}. The files that held it "
        "go from the disk within half an hour of a running system."
    )


def _commit_where_none_runs(folders: Folders) -> None:
    try:
        writer = Writer.open(folders.data)
    except WriterRunning:
        return
    with closing(writer):
        while pending_segments(folders.data):
            writer.commit_waiting(datetime.now(UTC))


def _outcome(folders: Folders, server: str, asked: datetime) -> list[dict[str, Any]]:
    """What went, once the writer has done it; NotDone when it takes too long."""
    reader = Reader.open(folders.data)
    give_up = time.monotonic() + WAIT_S
    try:
        while time.monotonic() < give_up:
            found = reader.query(
                "SELECT went FROM deletions WHERE server = $server AND ts = $asked",
                server=erased_name(server),
                asked=asked,
            )
            if found.num_rows:
                return list(found["went"][0].as_py() or ())
            time.sleep(LOOK_EVERY_S)
    finally:
        reader.close()
    raise NotDone(
        f"the writer has not come to it in {WAIT_S:.0f} s: {server} goes when it does; see "
        "'hoursight doctor'"
    )


def _like(reader: Reader, server: str) -> str:
    near = reader.query(
        "SELECT server FROM servers ORDER BY levenshtein(server, $server) LIMIT 3", server=server
    )["server"].to_pylist()
    return f": did you mean {', '.join(near)}?" if near else ": there is none yet"


def _held(manifest: Manifest) -> str:
    rows = sum(each.rows for each in manifest.tables.values())
    waits = sum(1 for name in manifest.files if name.startswith("inbox/"))
    return f"{rows:,} rows in {len(manifest.tables)} tables, {waits} segments that wait"


def _progress(say: Print) -> OnProgress:
    """Says each further tenth; only where somebody looks on."""
    told = 0

    def tell(done: int, total: int) -> None:
        nonlocal told
        percent = 100 * done // max(1, total)
        if sys.stderr.isatty() and percent >= told + STEP_PERCENT:
            told = percent
            say(f"  {percent} %")

    return tell
