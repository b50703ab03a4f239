"""What DuckDB says is classified rightly: each error here is one that it really raises."""

from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from storage.lake.duckdb_errors import (
    is_damage,
    is_missing_lake,
    is_server_unreachable,
    is_transient,
)
from storage.lake.extensions import load_extension


@pytest.fixture
def raised() -> Callable[[str, str], duckdb.Error]:
    def attach(extension: str, url: str) -> duckdb.Error:
        with duckdb.connect() as connection:
            for name in ("ducklake", extension):
                load_extension(connection, name)
            with pytest.raises(duckdb.Error) as failed:
                connection.execute(f"ATTACH 'ducklake:{url}' AS lake (READ_ONLY)")
        return failed.value

    return attach


def test_a_catalog_without_a_lake_is_recognized(
    raised: Callable[..., duckdb.Error], tmp_path: Path
) -> None:
    (tmp_path / "empty").touch()
    error = raised("sqlite_scanner", f"sqlite:{tmp_path}/empty")
    assert is_missing_lake(error)
    assert not is_damage(error)


def test_a_damaged_catalog_file_is_recognized(
    raised: Callable[..., duckdb.Error], tmp_path: Path
) -> None:
    (tmp_path / "damaged").write_bytes(b"no database" * 100)
    error = raised("sqlite_scanner", f"sqlite:{tmp_path}/damaged")
    assert is_damage(error)
    assert not is_missing_lake(error)


def test_an_unreachable_server_is_recognized(raised: Callable[..., duckdb.Error]) -> None:
    pytest.importorskip("duckdb_extension_postgres_scanner", reason="needs the extra 'postgres'")
    error = raised("postgres_scanner", "postgres:host=127.0.0.1 port=1 dbname=lake")
    assert is_server_unreachable(error)


def test_an_aborted_transaction_is_transient() -> None:
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE t (n INTEGER PRIMARY KEY); INSERT INTO t VALUES (1); BEGIN"
        )
        with pytest.raises(duckdb.ConstraintException) as wrong:
            connection.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(duckdb.Error) as failed:
            connection.execute("SELECT 1")
    assert is_transient(failed.value)
    assert not is_transient(wrong.value)
