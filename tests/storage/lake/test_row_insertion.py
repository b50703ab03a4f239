from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from storage.inbox.commit_batch import CommitBatch
from storage.inbox.segment import Provenance
from storage.inbox.validation import ValidationResult
from storage.lake.row_insertion import Inserted, RowInserter
from storage.lake.transaction import WriteConnection
from storage.model.schema import STOCK, table
from tests.conftest import NOW, LakeFixture


def batch(name: str, *segments: list[dict[str, Any]]) -> CommitBatch:
    valid = [
        ValidationResult(
            Path("x"), Provenance(name, "t", NOW), pa.Table.from_pylist(rows, table(name).arrow),
            len(rows), 0, (),
        )
        for rows in segments
    ]  # fmt: skip
    return CommitBatch(valid, (), STOCK)


def insert(house: LakeFixture, name: str, *segments: list[dict[str, Any]]) -> list[int]:
    """New rows of each segment, by an inserter that knows nothing of the lake yet."""
    connection: WriteConnection = house.writer._connection
    inserter, began = RowInserter(connection), datetime.now(UTC)
    taken = batch(name, *segments)
    return counts(connection.transaction(lambda: inserter.insert(table(name), taken, began)))


def counts(inserted: Inserted) -> list[int]:
    return [outcome.new for outcome in inserted.outcomes]


def sample(server: str, seconds: int, memory: float = 50.0) -> dict[str, Any]:
    return {"server": server, "ts": NOW + timedelta(seconds=seconds), "mem_used_pct": memory}


def step(minutes: int, mean: float) -> dict[str, Any]:
    return {"server": "a", "ts": NOW + timedelta(minutes=minutes), "mem_used_pct_mean": mean}


def test_new_rows_are_counted_by_segment(house: LakeFixture) -> None:
    new = insert(
        house, "metrics", [sample("a", 0), sample("b", 0)], [sample("a", 0), sample("a", 5)]
    )
    assert new == [2, 1]
    assert house.one("SELECT count(*) FROM metrics") == 3


def test_the_first_row_of_a_key_is_kept(house: LakeFixture) -> None:
    insert(house, "metrics", [sample("a", 0, 1.0)])
    assert insert(house, "metrics", [sample("a", 0, 2.0)]) == [0]
    assert house.one("SELECT mem_used_pct FROM metrics") == 1


def test_the_last_row_of_a_key_replaces_the_stored_one_in_a_rollup(house: LakeFixture) -> None:
    insert(house, "metrics_5m", [step(0, 1.0), step(5, 1.0)])
    assert insert(house, "metrics_5m", [step(0, 2.0)], [step(0, 3.0)]) == [0, 1]
    rows = house.reader.query("SELECT mem_used_pct_mean AS m FROM metrics_5m ORDER BY ts")
    assert rows["m"].to_pylist() == [3.0, 1.0]


def test_rows_of_a_table_without_a_key_are_all_kept(house: LakeFixture) -> None:
    event = {"process": "web", "ts": NOW, "event": "started"}
    assert insert(house, "processes", [event, event]) == [2]
    assert house.one("SELECT count(*) FROM processes") == 2


def test_a_segment_of_known_rows_only_writes_no_file(house: LakeFixture) -> None:
    insert(house, "metrics", [sample("a", 0)])
    before = sorted(house.folders.lake.rglob("*.parquet"))
    assert insert(house, "metrics", [sample("a", 0)]) == [0]
    assert sorted(house.folders.lake.rglob("*.parquet")) == before


def test_an_erased_server_may_send_its_old_keys_again(house: LakeFixture) -> None:
    connection = house.writer._connection
    inserter, began = RowInserter(connection), datetime.now(UTC)
    first, target = batch("metrics", [sample("a", 0)]), table("metrics")
    connection.transaction(lambda: inserter.insert(target, first, began))
    inserter.add_committed(first)
    assert not inserter.newest(target).all_later(first.spans(target))
    connection.transaction(lambda: connection.run("DELETE FROM metrics WHERE server = 'a'"))
    inserter.forget_servers(["a"])
    assert counts(connection.transaction(lambda: inserter.insert(target, first, began))) == [1]


def test_a_later_value_completes_the_stored_row(house: LakeFixture) -> None:
    cpu = {"server": "a", "ts": NOW, "cpu_user_pct": 11.0}
    insert(house, "metrics", [cpu, sample("b", 0)])
    assert insert(house, "metrics", [sample("a", 0, 22.0)]) == [1]
    rows = house.reader.query("SELECT server, cpu_user_pct, mem_used_pct FROM metrics ORDER BY 1")
    assert [tuple(row.values()) for row in rows.to_pylist()] == [("a", 11, 22), ("b", None, 50)]


def test_a_row_that_is_completed_gets_the_idle_time_that_its_parts_leave(
    house: LakeFixture,
) -> None:
    for name in ("cpu_user_pct", "cpu_sys_pct", "cpu_iowait_pct"):
        insert(house, "metrics", [{"server": "a", "ts": NOW, name: 10.0}])
    assert house.one("SELECT cpu_idle_pct FROM metrics") == 70
