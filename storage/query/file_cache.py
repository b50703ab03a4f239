"""Bound of DuckDB's cache of files, which keeps blocks of files that were merged away (1.5.5)."""

import logging
import time

import duckdb

__all__ = ["FileCache"]

log = logging.getLogger(__name__)

CHECK_EVERY_S = 30.0
MAX_BYTES = 64_000_000
USED = (
    "SELECT coalesce(sum(memory_usage_bytes), 0)::BIGINT FROM duckdb_memory() "
    "WHERE tag = 'EXTERNAL_FILE_CACHE'"
)


class FileCache:
    """The cache of one database, shared by its cursors."""

    def __init__(self, max_bytes: int = MAX_BYTES, check_every_s: float = CHECK_EVERY_S) -> None:
        self._max_bytes = max_bytes
        self._check_every_s = check_every_s
        self._checked = time.monotonic()

    def bound(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Empty the cache if it is larger than the limit; looks only now and then."""
        now = time.monotonic()
        if now - self._checked < self._check_every_s:
            return
        self._checked = now
        used = cursor.execute(USED).fetchall()[0][0]
        if used > self._max_bytes:
            log.debug("%.1f MB of cached files dropped", used / 1e6)
            for enabled in ("false", "true"):
                cursor.execute(f"SET enable_external_file_cache = {enabled}")
