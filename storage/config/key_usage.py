"""Use of the API keys: how often, when last and from where; and the refused requests by reason."""

import os
import uuid
from datetime import datetime
from pathlib import Path

import msgspec

from storage.config.folders import Folders
from storage.ipc.decoding import InvalidJson, decode_json

__all__ = ["KeyUsage", "Tally", "add_key_usage", "read_key_usage"]


class Tally(msgspec.Struct, frozen=True):
    """Number of requests; time and address of the last one."""

    requests: int
    last_at: datetime
    address: str

    def plus(self, other: "Tally | None") -> "Tally":
        """Return both together."""
        if other is None:
            return self
        last = max(self, other, key=lambda tally: tally.last_at)
        return Tally(self.requests + other.requests, last.last_at, last.address)


class KeyUsage(msgspec.Struct):
    """Tallies by id of a key, and by reason of a refusal."""

    used: dict[str, Tally] = {}
    refused: dict[str, Tally] = {}

    def add(self, other: "KeyUsage") -> None:
        """Add the tallies of `other`."""
        for mine, theirs in ((self.used, other.used), (self.refused, other.refused)):
            for name, tally in theirs.items():
                mine[name] = tally.plus(mine.get(name))


def read_key_usage(folders: Folders) -> KeyUsage:
    """Return what has been recorded; nothing if the file is missing or damaged. Raises OSError."""
    try:
        return decode_json(folders.key_usage.read_bytes(), KeyUsage)
    except (FileNotFoundError, InvalidJson):
        return KeyUsage()


def add_key_usage(folders: Folders, usage: KeyUsage) -> None:
    """Add tallies to the file, which only the site writes. Raises OSError."""
    whole = read_key_usage(folders)
    whole.add(usage)
    _replace(folders.key_usage, msgspec.json.format(msgspec.json.encode(whole)))


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_suffix(f".{uuid.uuid4().hex[:8]}.partial")
    try:
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)
