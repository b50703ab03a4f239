"""Holds an idle connection to the catalog open, so that readers never wait for its last close.

Closing the last connection to a SQLite catalog checkpoints and removes the WAL under an exclusive
lock. DuckDB opens and closes a connection for each transaction, and its SQLite waits for locks in
whole seconds. The idle connection lives in a process of its own, because two SQLite libraries in
one process would drop each other's locks.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from storage.config.folders import Folders
from storage.lake.catalog import lake_location

__all__ = ["hold_catalog_open"]

# The process ends when its stdin closes, and so with its parent, however that ends.
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
    """Hold a SQLite catalog open for the duration of the context; PostgreSQL does not need it."""
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
