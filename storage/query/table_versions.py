"""Versions of tables: the snapshot that last changed each; until the next, a result can be kept."""

import re
import threading
from collections.abc import Iterable

from storage.query.reader import Reader

__all__ = ["TableVersions"]

_TABLES = """
SELECT table_name, table_id FROM __ducklake_metadata_lake.ducklake_table WHERE end_snapshot IS NULL
"""
_CHANGES = """
SELECT snapshot_id, changes_made FROM __ducklake_metadata_lake.ducklake_snapshot_changes
WHERE snapshot_id > $after AND snapshot_id <= $until
"""
# Such as `inserted_into_table:3,deleted_from_table:5`; a new table or view reads otherwise.
_OF_TABLES = re.compile(r"[a-z_]+:\d+(,[a-z_]+:\d+)*$")
_TABLE_ID = re.compile(r":(\d+)")


class TableVersions:
    """The last change of each table of one lake; safe to share between threads.

    A merge of files counts as a change. What happened before the first call, or in snapshots that
    have expired since, counts as a change of every table.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen = -1
        self._all_changed_at = -1
        self._changed_at: dict[int, int] = {}
        self._ids: dict[str, int] = {}

    def at(self, reader: Reader, tables: Iterable[str]) -> tuple[int, ...] | None:
        """The versions of `tables` in the snapshot of a pinned reader.

        None if they are not known, because later snapshots were seen before.
        """
        snapshot = reader.snapshot()
        with self._lock:
            if snapshot > self._seen:
                self._follow(reader, snapshot)
            versions = tuple(self._version(name) for name in tables)
        return versions if all(version <= snapshot for version in versions) else None

    def _version(self, name: str) -> int:
        return self._changed_at.get(self._ids.get(name, -1), self._all_changed_at)

    def _follow(self, reader: Reader, snapshot: int) -> None:
        changes = reader.query(_CHANGES, after=self._seen, until=snapshot).to_pylist()
        texts = {int(c["snapshot_id"]): str(c["changes_made"]) for c in changes}
        known = self._seen >= 0 and len(texts) == snapshot - self._seen
        if known and all(map(_OF_TABLES.match, texts.values())):
            for at, text in texts.items():
                self._changed_at |= dict.fromkeys(map(int, _TABLE_ID.findall(text)), at)
        else:
            self._changed_at.clear()
            self._all_changed_at = snapshot
            tables = reader.query(_TABLES).to_pylist()
            self._ids = {row["table_name"]: row["table_id"] for row in tables}
        self._seen = snapshot
