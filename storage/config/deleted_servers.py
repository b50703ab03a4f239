"""Deleted servers: their pseudonyms and times in a file that the writer keeps for all processes.

A server that was deleted and sends again is accepted, which the log and its page report; or it is
refused, as the settings `[deletions]` say.
"""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from storage.config.folders import Folders
from storage.config.sample_settings import DeletionSettings
from storage.ipc.decoding import InvalidJson, decode_json
from storage.model.names import erased_name

__all__ = ["REFUSED", "DeletedServers", "record_deleted"]

REFUSED = (
    "the server was deleted here, and [deletions] in the settings refuses it: stop what sends it, "
    "or add it to deletions.readmitted"
)


class DeletedServers:
    """The servers that were deleted; their file is read again when it has changed."""

    def __init__(self, folders: Folders, settings: DeletionSettings) -> None:
        self._path = folders.deleted
        self._settings = settings
        self._stamp: tuple[int, int] | None = None
        self._times: dict[str, datetime] = {}

    def deleted_at(self, server: str) -> datetime | None:
        """Return when a server was last deleted; None if it never was."""
        return self._current().get(erased_name(server))

    def refuses(self, server: str) -> bool:
        """Return True if the settings refuse a server because it was deleted."""
        settings = self._settings
        if settings.returning == "accept" or server in settings.readmitted:
            return False
        return self.deleted_at(server) is not None

    def _current(self) -> dict[str, datetime]:
        try:
            status = self._path.stat()
            stamp = status.st_ino, status.st_mtime_ns
            if stamp != self._stamp:
                self._times = decode_json(self._path.read_bytes(), dict[str, datetime])
                self._stamp = stamp
        except (FileNotFoundError, InvalidJson):  # the writer writes it at its next start
            self._stamp, self._times = None, {}
        return self._times


def record_deleted(folders: Folders, times: Mapping[str, datetime]) -> None:
    """Replace the file by deletions, the last time by pseudonym; it is left if it is the same."""
    text = msgspec.json.format(msgspec.json.encode(times, order="sorted"))
    path = folders.deleted
    if not times and not path.exists():
        return
    if not path.exists() or path.read_bytes() != text:
        draft = path.with_suffix(".partial")
        draft.write_bytes(text)
        draft.replace(path)
