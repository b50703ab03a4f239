"""Versions of tables: which commit changes which, seen from readers of several snapshots."""

from storage.query.reader import Reader
from storage.query.table_versions import TableVersions
from tests.conftest import NOW, LakeFixture

TABLES = ("metrics", "marks", "server_facts")
FACT = {"server": "a", "ts": NOW}


def versions(lake: LakeFixture, known: TableVersions) -> tuple[int, ...] | None:
    with Reader.open(lake.folders.data) as reader, reader.pinned() as pinned:
        return known.at(pinned, TABLES)
