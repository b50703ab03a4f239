"""Versions of tables: which commit changes which, seen from readers of several snapshots."""

from storage.query.table_versions import TableVersions
from tests.conftest import NOW, LakeFixture

TABLES = ("metrics", "server_facts")


def versions(lake: LakeFixture, known: TableVersions) -> tuple[int, ...] | None:
    with lake.reader.pinned() as pinned:
        return known.at(pinned, TABLES)


def put(lake: LakeFixture, table: str, server: str) -> None:
    lake.put(table, [{"server": server, "ts": NOW}])
    lake.commit()


def test_a_commit_changes_the_versions_of_its_tables_only(house: LakeFixture) -> None:
    known = TableVersions()
    first = versions(house, known)
    assert versions(house, known) == first
    put(house, "server_facts", "a")
    second = versions(house, known)
    assert second[0] == first[0]
    assert second[1] > first[1]


def test_an_older_snapshot_has_no_versions_once_a_table_has_changed_since(
    house: LakeFixture,
) -> None:
    known = TableVersions()
    versions(house, known)
    with house.reader.pinned() as before:
        before.snapshot()
        put(house, "server_facts", "a")
        versions(house, known)
        assert known.at(before, ["server_facts"]) is None
        assert known.at(before, ["metrics"]) is not None
