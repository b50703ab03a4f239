"""Entries of the audit for commands that change who may do what, or which model serves."""

import getpass
import uuid
from datetime import UTC, datetime
from pathlib import Path

from scripts.cli.printer import say

__all__ = ["note_command"]


def note_command(data: Path, action: str, target: str, detail: str | None = None) -> None:
    """Write an entry to the inbox, from which the writer commits it.

    Before the first start there is no inbox, and nothing is written.
    """
    from storage.config.folders import Folders
    from storage.config.settings import SettingsError
    from storage.inbox import segment

    folders = Folders.at(data)
    if not folders.inbox.is_dir():
        return
    row = {
        "entry": uuid.uuid4().hex, "ts": datetime.now(UTC), "actor": _user(), "role": "admin",
        "shown_by": "command", "action": action, "target": target, "detail": detail,
        "outcome": "done",
    }  # fmt: skip
    try:
        segment.write_row(folders, "audit", "command", row)
    except (segment.SegmentNotWritten, SettingsError) as error:
        say(f"this is not in the audit: {error}", err=True)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        return "unknown"
