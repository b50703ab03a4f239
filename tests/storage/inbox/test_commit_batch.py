from datetime import timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from storage.inbox.commit_batch import distinct, spans
from storage.model.schema import table
from tests.conftest import NOW, LakeFixture

KEY = ("server", "ts")


def sample(server: str, seconds: int) -> dict[str, Any]:
    return {"server": server, "ts": NOW + timedelta(seconds=seconds), "load_average": 1.0}


def rows(*samples: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(samples), table("metrics").arrow)


def micros(seconds: int) -> int:
    return int((NOW + timedelta(seconds=seconds)).timestamp()) * 1_000_000


def test_each_server_spans_from_its_first_to_its_last_sample() -> None:
    result = spans(rows(sample("a", 0), sample("a", 5), sample("a", 9), sample("b", 2)))
    assert result == {"a": (micros(0), micros(9)), "b": (micros(2), micros(2))}
    assert spans(rows()) == {}


def test_two_rows_with_one_key_are_not_distinct() -> None:
    assert distinct(rows(sample("a", 0), sample("a", 5), sample("b", 5)), KEY)
    assert not distinct(rows(sample("a", 0), sample("b", 0), sample("b", 0)), KEY)
    assert distinct(rows(), KEY)


def test_rows_of_mixed_segments_are_sorted_by_server_and_time(house: LakeFixture) -> None:
    house.put("metrics", [sample("b", -5), sample("a", -5)])
    house.put("metrics", [sample("b", -9), sample("a", 0)])
    assert house.commit().rows["metrics"] == 4
    (path,) = (house.folders.lake / "main" / "metrics").rglob("*.parquet")
    filed = pq.ParquetFile(path).read().select(KEY).to_pylist()
    assert filed == sorted(filed, key=lambda row: (row["server"], row["ts"]))
