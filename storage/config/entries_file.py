"""A file of entries of the data folder, such as API keys: read again when it has changed.

It is changed as a whole, under an exclusive lock. Once seen it stays required: its loss must not
open what was closed.
"""

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TextIO, TypeVar

import msgspec

from storage.errors import HoursightError
from storage.ipc.decoding import InvalidJson, decode_json
from storage.platform.durability import fsync_directory
from storage.platform.private_files import create_private_folder
from storage.platform.process import exclusive_lock

__all__ = ["EntriesFile", "Wording", "replace_file"]

LOCK_WITHIN_S, LOCK_POLL_S = 10.0, 0.02

T = TypeVar("T", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Wording:
    """How errors about a file are raised: their class, what its entries are, and the command."""

    error: type[HoursightError]
    plural: str
    command: str

    @property
    def again(self) -> str:
        """How to create the entries again."""
        return f"create the {self.plural} again with '{self.command}'"


class EntriesFile(Generic[T]):
    """The entries of a file, which need not exist. Every method raises the error of `wording`."""

    def __init__(self, path: Path, entry: type[T], wording: Wording) -> None:
        self.path = path
        self._entry, self._wording = entry, wording
        self._seen = False
        self._stamp: tuple[int, ...] | None = None
        self._entries: list[T] = []

    def entries(self) -> list[T]:
        """All entries, oldest first; not to be changed."""
        try:
            stamp = self._stamp_now()
            if stamp != self._stamp:
                self._entries = self._read() if stamp else []
                self._stamp = stamp
        except OSError as error:
            raise self._wording.error(
                f"{self.path.name} cannot be read ({error.strerror})",
                "give this user read permission, or restore the file",
            ) from error
        return self._entries

    def seen(self) -> bool:
        """Return True if the file has existed, also if it has no entries now."""
        self.entries()
        return self._seen

    @contextmanager
    def changing(self) -> Iterator[list[T]]:
        """The entries, to be changed in place; written as a whole."""
        create_private_folder(self.path.parent)
        with self._lock():
            entries = list(self.entries())
            before = list(entries)
            yield entries
            if entries != before:
                replace_file(self.path, msgspec.json.format(msgspec.json.encode(entries)))

    def _read(self) -> list[T]:
        try:
            return decode_json(self.path.read_bytes(), list[self._entry])  # type: ignore[name-defined]
        except InvalidJson as error:
            raise self._wording.error(
                f"{self.path.name} is damaged ({error})", f"remove it and {self._wording.again}"
            ) from error

    def _stamp_now(self) -> tuple[int, ...] | None:
        """What changes with the file; None if there has been no file since the start."""
        try:
            stat = self.path.stat()
        except FileNotFoundError as error:
            if self.path.is_symlink():
                raise self._wording.error(
                    f"{self.path.name} is a link to a file that does not exist",
                    f"restore that file, or remove the link and {self._wording.again}",
                ) from error
            if not self._seen:
                return None
            raise self._wording.error(
                f"{self.path.name} is gone",
                f"restore it, or {self._wording.again}; to go on without {self._wording.plural}, "
                "restart the site",
            ) from error
        self._seen = True
        return stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns

    def _lock(self) -> TextIO:
        """The lock of a change, once it is free."""
        path, give_up = self.path.with_suffix(".lock"), time.monotonic() + LOCK_WITHIN_S
        while (lock := exclusive_lock(path)) is None:
            if time.monotonic() > give_up:
                raise self._wording.error(
                    f"{path} is locked by another process",
                    "end that process ('lslocks' names it), or remove the file",
                )
            time.sleep(LOCK_POLL_S)
        return lock


def replace_file(path: Path, content: bytes) -> None:
    """Replace a file of this user alone, durably. Raises OSError."""
    partial = path.with_suffix(f".{uuid.uuid4().hex[:8]}.partial")
    try:
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)
    fsync_directory(path.parent)
