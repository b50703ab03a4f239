"""Holds an idle connection to the catalog open, so that readers never wait for its last close.

Closing the last connection to a SQLite catalog checkpoints and removes the WAL under an exclusive
lock. DuckDB opens and closes a connection for each transaction, and its SQLite waits for locks in
whole seconds. The idle connection lives in a process of its own, because two SQLite libraries in
one process would drop each other's locks.

It also copies the catalog, even one whose file was removed meanwhile: its own is still open.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storage.config.folders import Folders
from storage.lake.catalog import lake_location

__all__ = ["CatalogHolder", "hold_catalog_open"]

# The process ends when its stdin closes, and so with its parent, however that ends.
_HOLD = """
import json, sqlite3, sys
catalog = sqlite3.connect(sys.argv[1], timeout=30)
catalog.execute("SELECT count(*) FROM sqlite_master").fetchall()
print(flush=True)
for line in sys.stdin:
    try:
        catalog.execute("VACUUM INTO ?", (json.loads(line),))
        print("copied", flush=True)
    except sqlite3.Error as error:
        print(str(error).replace(chr(10), " "), flush=True)
catalog.close()
"""


class CatalogHolder:
    """The process that has the catalog open."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def copy(self, target: Path) -> None:
        """Write a consistent copy of the catalog, WAL included, to the new file `target`.

        Raises OSError.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(str(target)), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline().strip()
        if answer != "copied":
            raise OSError(f"the catalog was not copied: {answer or 'its process has ended'}")


@contextmanager
def hold_catalog_open(folders: Folders) -> Iterator[CatalogHolder | None]:
    """Hold a SQLite catalog open for the duration of the context.

    PostgreSQL does not need it: the value is None.
    """
    catalog = lake_location(folders).catalog
    if catalog.networked:
        yield None
        return
    command = [sys.executable, "-I", "-S", "-c", _HOLD, str(catalog)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        yield CatalogHolder(process)
        process.stdin.close()
