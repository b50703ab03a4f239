"""Position of a watched folder: how far each of its files was read, and which are finished."""

from collections.abc import Collection
from typing import Any, BinaryIO

import msgspec

from functions.connectors.folder_files import FolderFile
from functions.connectors.followed_lines import LineCursor

__all__ = ["Finished", "FolderPosition", "FolderState", "WholeFile"]


class WholeFile(msgspec.Struct, frozen=True, array_like=True):
    """The file that is being read whole, its stamp, and how many of its chunks were read."""

    name: str = ""
    stamp: str = ""
    chunks: int = 0


class Finished(msgspec.Struct, frozen=True, array_like=True):
    """A file to move away once its rows are safe, with its stamp, and why it is rejected."""

    name: str
    stamp: str
    rejected: str = ""


class FolderPosition(msgspec.Struct, frozen=True):
    """Cursors of the files that are followed, and the files finished in the last call.

    What another `reader` read, a fingerprint of mapping and program, does not count.
    """

    reader: str = ""
    followed: tuple[LineCursor, ...] = ()
    whole: WholeFile = WholeFile()
    finished: tuple[Finished, ...] = ()


class FolderState:
    """A position while a call goes on."""

    def __init__(self, position: Any | None, reader: str) -> None:
        at = msgspec.convert(position or {}, FolderPosition)
        if at.reader != reader:
            at = FolderPosition()
        self._reader = reader
        self._cursors = {cursor.inode: cursor for cursor in at.followed}
        self._finished = list(at.finished)
        self.whole = at.whole

    @property
    def finished_count(self) -> int:
        """Return how many files this call has finished."""
        return len(self._finished)

    def position(self) -> Any:
        """Return the position as JSON."""
        at = FolderPosition(
            self._reader, tuple(self._cursors.values()), self.whole, tuple(self._finished)
        )
        return msgspec.to_builtins(at)

    def take_finished(self) -> list[Finished]:
        """Remove and return the files that the last call finished."""
        finished, self._finished = self._finished, []
        return finished

    def cursor_of(self, file: FolderFile, opened: BinaryIO) -> LineCursor:
        """Return the cursor of a file; at its start for a new one and for one that was replaced."""
        inode = file.status.st_ino
        cursor = self._cursors.get(inode)
        if cursor is None or not cursor.continues_in(opened):
            return LineCursor(file.name, inode)
        return msgspec.structs.replace(cursor, name=file.name)

    def has_room(self, file: FolderFile, most: int) -> bool:
        """Return True if a file is followed, or may be as one of at most so many."""
        return file.status.st_ino in self._cursors or len(self._cursors) < most

    def known(self, inode: int) -> LineCursor | None:
        """Return the cursor of a file by its inode."""
        return self._cursors.get(inode)

    def put(self, cursor: LineCursor) -> None:
        """Keep the cursor of a file."""
        self._cursors[cursor.inode] = cursor

    def forget(self, inode: int) -> None:
        """Drop the cursor of a file: if it comes again, it is read from its start."""
        self._cursors.pop(inode, None)

    def keep_only(self, inodes: Collection[int]) -> None:
        """Drop the cursors of files that are gone."""
        self._cursors = {i: cursor for i, cursor in self._cursors.items() if i in inodes}

    def finish(self, finished: Finished) -> None:
        """Note that a file was read to its end, or cannot be read."""
        self._finished.append(finished)
