from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from storage.config.folders import Folders
from storage.lake.transaction import WriteConnection
from storage.model.metrics import Metric
from storage.model.schema import customized, table
from tests.conftest import NOW, LakeFixture

GPU = Metric("gpu_used_pct", "GPU", "%", "gauge", 100, "high", "GPU used")


@pytest.fixture
def connection(house: LakeFixture) -> WriteConnection:
    return house.writer._connection


def rows(*servers: str) -> pa.Table:
    samples: list[dict[str, Any]] = [{"server": s, "ts": NOW, "load_average": 1} for s in servers]
    return pa.Table.from_pylist(samples, table("metrics").arrow)


def test_a_transaction_takes_effect_whole(house: LakeFixture, connection: WriteConnection) -> None:
    began = datetime.now(UTC)

    def work() -> str:
        connection.append(table("metrics"), rows("a"), began)
        connection.append(table("metrics"), rows("b"), began)
        assert house.one("SELECT count(*) FROM metrics") == 0
        return "done"

    assert connection.transaction(work) == "done"
    assert house.one("SELECT count(*) FROM metrics") == 2


def test_an_error_leaves_no_row_and_the_next_transaction_works(
    house: LakeFixture, connection: WriteConnection
) -> None:
    began = datetime.now(UTC)

    def fail() -> None:
        connection.append(table("metrics"), rows("a"), began)
        connection.run("SELECT * FROM no_such_table")

    with pytest.raises(duckdb.CatalogException):
        connection.transaction(fail)
    assert house.one("SELECT count(*) FROM metrics") == 0
    connection.transaction(lambda: connection.append(table("metrics"), rows("b"), began))
    assert house.one("SELECT string_agg(server) FROM metrics") == "b"


def test_the_files_of_a_failed_transaction_are_removed_by_the_next_one(
    house: LakeFixture, connection: WriteConnection
) -> None:
    began, folder = datetime.now(UTC), connection.files(table("metrics"))

    def fail() -> None:
        connection.append(table("metrics"), rows("a"), began)
        raise InterruptedError

    with pytest.raises(InterruptedError):
        connection.transaction(fail)
    connection.transaction(lambda: connection.append(table("metrics"), rows("b"), began))
    assert len(list(folder.rglob("*.parquet"))) == 1
    assert house.one("SELECT string_agg(server) FROM metrics") == "b"


def test_a_guard_that_fails_prevents_the_commit(
    house: LakeFixture, connection: WriteConnection
) -> None:
    def refuse() -> Any:
        raise TimeoutError("no gap")

    began = datetime.now(UTC)
    with pytest.raises(TimeoutError):
        connection.transaction(
            lambda: connection.append(table("metrics"), rows("a"), began), refuse
        )
    assert house.one("SELECT count(*) FROM metrics") == 0


def test_a_new_metric_becomes_a_column_and_keeps_the_rows(
    house: LakeFixture, connection: WriteConnection
) -> None:
    began = datetime.now(UTC)
    connection.transaction(lambda: connection.append(table("metrics"), rows("a"), began))
    connection.evolve(customized([GPU], {}))
    result = house.reader.query("SELECT server, gpu_used_pct FROM metrics").to_pylist()
    assert result == [{"server": "a", "gpu_used_pct": None}]
    assert "gpu_used_pct" in connection.schema.table("metrics").names


def test_values_and_columns_of_a_query(connection: WriteConnection) -> None:
    assert connection.value("SELECT $a + 1", a=2) == 3
    assert connection.value("SELECT 1 WHERE false") is None
    assert connection.column("SELECT * FROM range(3)") == {0, 1, 2}


def test_a_lake_on_the_local_disk_is_not_networked(tmp_path: Path) -> None:
    connection = WriteConnection(Folders.at(tmp_path).create(), customized([], {}))
    assert not connection.networked
    assert connection.diagnose(duckdb.Error("odd")) == "odd"
    connection.settle()  # nothing is in doubt
    assert connection.generation == 0
    connection.close()
