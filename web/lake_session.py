"""Read access of the site to the lake: opened on first use, reopened when the lake is replaced."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from pathlib import Path

from storage.config.folders import Folders
from storage.model.views import as_of_now
from storage.query.reader import LakeMissing, LakeUnreadable, QueryFailed, Reader
from storage.query.shared_reader import SharedReader
from web.kept_results import KeptResults

__all__ = ["LakeMissing", "LakeSession", "LakeUnreadable", "QueryFailed", "sql"]

log = logging.getLogger(__name__)

_SQL = Path(__file__).parent / "sql"
_VIEWS_PRESENT = "SELECT count(*) AS n FROM duckdb_views() WHERE view_name = 'fleet_now'"


class LakeSession:
    """One lake, which need not exist yet; safe to share between threads.

    `kept` has results of queries of the present, for as long as they hold.
    """

    def __init__(self, data: Path | str) -> None:
        self.folders = Folders.at(data)
        self.kept = KeptResults()
        self._reader = SharedReader(self.folders.data, self._check)

    @contextmanager
    def snapshot(self) -> Iterator[Reader]:
        """Yield a reader pinned to the newest commit.

        Raise LakeMissing, LakeUnreadable or QueryFailed.
        """
        with self._reader.use() as reader, reader.pinned() as pinned:
            yield pinned

    def known_at(self, at: datetime) -> "LakeSession":
        """Return the same lake with the rows that were known at `at`."""
        return _EarlierSession(self, at)

    def close(self) -> None:
        """Close the reader; the next snapshot opens it again."""
        self._reader.close()

    def _check(self, reader: Reader) -> None:
        if not reader.query(_VIEWS_PRESENT).column("n")[0].as_py():
            raise LakeMissing(self.folders.data)  # the writer is still creating it
        self.kept.clear()


class _EarlierSession(LakeSession):
    """A lake as it was known at an earlier time; the session of the present owns the reader."""

    def __init__(self, present: LakeSession, at: datetime) -> None:
        self.folders, self.kept = present.folders, KeptResults()
        self._reader, self._at = present._reader, at

    @contextmanager
    def snapshot(self) -> Iterator[Reader]:
        """Yield a reader pinned to the newest commit, its tables cut off. Raise NotRunningThen."""
        with self._reader.use() as reader, reader.pinned(known_at=self._at) as pinned:
            yield pinned


@cache
def sql(name: str) -> str:
    """Return the statement in `web/sql/NAME.sql`, its views as of the parameter `$now`."""
    return as_of_now((_SQL / f"{name}.sql").read_text())
