"""Keeps the catalog open while the writer runs: no reader meets its last connection closing.

Whoever closes the last connection to a SQLite catalog folds the WAL in and removes it, under a lock
that keeps readers out; DuckDB opens and closes one for each transaction, and the SQLite within it
waits in whole seconds. With one more connection, which is idle, no close is the last. It lives in a
process of its own: two SQLite libraries in one would drop each other's locks.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from storage.config.folders import Folders
from storage.lake.catalog import lake_location

__all__ = ["hold_catalog_open"]

# It ends with the pipe, and so with whoever holds the other end, however that ends.
_HOLD = """
import sqlite3, sys
catalog = sqlite3.connect(sys.argv[1])
catalog.execute("SELECT count(*) FROM sqlite_master").fetchall()
print(flush=True)
sys.stdin.read()
catalog.close()
"""


@contextmanager
def hold_catalog_open(folders: Folders) -> Iterator[None]:
    """Hold the catalog of a lake open for the time of the context; one on PostgreSQL needs none."""
    catalog = lake_location(folders).catalog
    if catalog.networked:
        yield
        return
    command = [sys.executable, "-I", "-S", "-c", _HOLD, str(catalog)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        yield
        process.stdin.close()
