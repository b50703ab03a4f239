"""Saved queries."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from storage.config.folders import Folders
from storage.config.saved_queries import (
    MAX_QUERIES,
    SavedQueries,
    SavedQuery,
    SavedQueryRefused,
)

QUERY = SavedQuery("disks", "SELECT 1", "ops", datetime(2026, 5, 6, tzinfo=UTC))


@pytest.fixture
def queries(tmp_path: Path) -> SavedQueries:
    return SavedQueries(Folders.at(tmp_path))


def test_they_are_kept_by_name_for_this_user_alone(queries: SavedQueries, tmp_path: Path) -> None:
    other = msgspec.structs.replace(QUERY, name="Alerts")
    assert not queries.save(QUERY)
    assert not queries.save(other)
    assert SavedQueries(Folders.at(tmp_path)).all() == (other, QUERY)
    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_name_that_is_there_already_is_replaced(queries: SavedQueries) -> None:
    queries.save(QUERY)
    newer = msgspec.structs.replace(QUERY, sql="SELECT 2")
    assert queries.save(newer)
    assert queries.all() == (newer,)


def test_removing_leaves_the_others(queries: SavedQueries) -> None:
    other = msgspec.structs.replace(QUERY, name="a")
    queries.save(QUERY)
    queries.save(other)
    queries.remove("disks")
    assert queries.all() == (other,)
    with pytest.raises(SavedQueryRefused, match="no query is saved as 'disks'"):
        queries.remove("disks")


@pytest.mark.parametrize(
    ("name", "sql"), [("", "SELECT 1"), ("a\nb", "SELECT 1"), ("x" * 101, "SELECT 1"), ("a", " "),
                      ("a", "x" * 30_001)],
)  # fmt: skip
def test_what_cannot_be_kept_is_refused(queries: SavedQueries, name: str, sql: str) -> None:
    with pytest.raises(SavedQueryRefused):
        queries.save(msgspec.structs.replace(QUERY, name=name, sql=sql))
    assert queries.all() == ()


def test_there_is_a_most_of_them(queries: SavedQueries) -> None:
    many = [msgspec.structs.replace(QUERY, name=f"q{i}") for i in range(MAX_QUERIES)]
    queries._write(many)
    with pytest.raises(SavedQueryRefused, match="are saved already"):
        queries.save(QUERY)
    assert queries.save(many[0])


def test_a_damaged_file_is_named_and_not_replaced(queries: SavedQueries, tmp_path: Path) -> None:
    file = Folders.at(tmp_path).saved_queries
    file.write_text("{")
    with pytest.raises(SavedQueryRefused, match=r"saved_queries\.json cannot be read"):
        queries.save(QUERY)
    assert file.read_text() == "{"
