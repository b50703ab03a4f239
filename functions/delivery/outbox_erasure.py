"""Outbox erasure: a deleted server's name leaves the outbox, and its open messages are resolved."""

from datetime import datetime

import msgspec

from functions.delivery.message import Message
from functions.delivery.outbox import Outbox, always
from functions.delivery.routing import EpisodeEvent
from storage.config.folders import Folders
from storage.config.settings import Settings
from storage.lake.erasure import without_name
from storage.model.names import erased_name

__all__ = ["erase_from_outbox"]

TEXTS = (("keys", "opened"), ("keys", "newest"), ("entries", "message"), ("outcomes", "detail"))


def erase_from_outbox(folders: Folders, server: str, settings: Settings, now: datetime) -> int:
    """Replace the name of a server by its pseudonym; return the number of texts that had it.

    Raises OutboxUnusable.
    """
    if not folders.outbox.exists():
        return 0
    with Outbox(folders) as outbox:
        changed = sum(_replace(outbox, table, column, server) for table, column in TEXTS)
        for episode, message in _open_messages(outbox, erased_name(server)):
            over = msgspec.structs.replace(
                message, ts=now, phase="over", event="closed", why="the server was deleted",
                reasons=(),
            )  # fmt: skip
            event = EpisodeEvent(episode, now, "closed", "over")
            outbox.enqueue(event, settings.channels, always(over), now)
    return changed


def _replace(outbox: Outbox, table: str, column: str, server: str) -> int:
    changed = 0
    with outbox.transaction():
        rows = outbox.execute(
            f"SELECT rowid AS number, {column} AS text FROM {table} WHERE instr({column}, :server)",
            server=server,
        ).fetchall()
        for row in rows:
            text = without_name(row["text"], server)
            changed += text != row["text"]
            outbox.execute(
                f"UPDATE {table} SET {column} = :text WHERE rowid = :number",
                text=text, number=row["number"],
            )  # fmt: skip
    return changed


def _open_messages(outbox: Outbox, server: str) -> list[tuple[str, Message]]:
    """Return the newest message of each open group in which no other server is left."""
    rows = outbox.execute(
        "SELECT episode, newest FROM keys WHERE state IN ('queued', 'open') AND newest IS NOT NULL"
    )
    messages = {row["episode"]: msgspec.json.decode(row["newest"], type=Message) for row in rows}
    return [
        (episode, each)
        for episode, each in messages.items()
        if each.server == server and not each.others
    ]
