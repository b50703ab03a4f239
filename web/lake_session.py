"""The lake as the site sees it: opened when first asked for, and anew when it is another one."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from storage.config.folders import Folders
from storage.model.views import as_of_now
from storage.query.reader import LakeMissing, LakeUnreadable, QueryFailed, Reader

__all__ = ["LakeMissing", "LakeSession", "LakeUnreadable", "QueryFailed", "sql"]

_SQL = Path(__file__).parent / "sql"
_VIEWS_PRESENT = "SELECT count(*) AS n FROM duckdb_views() WHERE view_name = 'fleet_now'"


class LakeSession:
    """One lake, which may not be there yet; safe to share between threads."""

    def __init__(self, data: Path | str) -> None:
        self.folders = Folders.at(data)
        self._lock = threading.Lock()
        self._reader: Reader | None = None

    @contextmanager
    def snapshot(self) -> Iterator[Reader]:
        """A reader that stays on the newest commit; LakeMissing, LakeUnreadable or QueryFailed."""
        try:
            with self._opened().pinned() as reader:
                yield reader
        except QueryFailed:
            self._forget()
            raise

    def _opened(self) -> Reader:
        with self._lock:
            if self._reader is None or self._reader.replaced():
                self._reader = None
                self._reader = self._open()
            return self._reader

    def _open(self) -> Reader:
        reader = Reader.open(self.folders.data)
        if not reader.query(_VIEWS_PRESENT).column("n")[0].as_py():
            raise LakeMissing(self.folders)  # the writer is just making it
        return reader

    def _forget(self) -> None:
        with self._lock:
            self._reader = None


@cache
def sql(name: str) -> str:
    """The statement in `web/sql/NAME.sql`; a view in it is as of the parameter `$now`."""
    return as_of_now((_SQL / f"{name}.sql").read_text())
