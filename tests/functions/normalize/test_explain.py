"""What a mapping makes of documents, line by line."""

import tomllib
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from functions.normalize.columns import Documents
from functions.normalize.explain import Line, explain
from functions.normalize.mapper import Mapper
from functions.normalize.mapping import read_mapping
from storage.model.metrics import METRICS

NOW = datetime(2026, 5, 6, 12, tzinfo=UTC)
TEXT = """
metrics.cpu_user_pct = { field = ["cpu", "user"], unit = "fraction" }
metrics.mem_used_pct = { field = "used", of = "total" }
"""
DOCUMENTS: list[dict[str, Any]] = [
    {"ts": NOW, "host": "a", "cpu": None, "used": None, "total": 8},
    {"ts": NOW, "host": "a", "cpu": 0.25, "used": 2, "total": 8},
]


def lines(documents: Documents) -> dict[str, Line]:
    mapping = read_mapping(tomllib.loads(TEXT))
    mapped = Mapper(mapping, "shop").map(documents)
    return {line.target: line for line in explain(mapping, documents, mapped, METRICS)}


@pytest.mark.parametrize("documents", [DOCUMENTS, pa.Table.from_pylist(DOCUMENTS)])
def test_a_metric_shows_field_raw_value_unit_and_result(documents: Documents) -> None:
    line = lines(documents)["cpu_user_pct"]
    assert line == Line("cpu_user_pct", "cpu", 0.25, "fraction", 25.0, "%")


def test_a_share_names_both_fields() -> None:
    line = lines(DOCUMENTS)["mem_used_pct"]
    assert (line.field, line.raw, line.value) == ("used of total", 2, 25.0)


def test_a_field_that_no_document_has_names_all_that_were_tried() -> None:
    shown = lines(DOCUMENTS)
    assert shown["load_average"].field == "not found: load_average or load or load1"
    assert shown["site"].field == "not found: site"


def test_parts_of_a_record_are_shown_with_their_raw_values() -> None:
    shown = lines(DOCUMENTS)
    assert (shown["server"].field, shown["server"].raw) == ("host", "a")
    assert shown["time"].raw == NOW


def test_a_time_of_two_columns_is_shown_as_one() -> None:
    mapping = read_mapping(tomllib.loads("time = { date = 'day', time = 'hour', zone = 'UTC' }"))
    documents = [{"day": "2026-05-06", "hour": "12:00", "host": "a", "load": 1}]
    shown = explain(mapping, documents, Mapper(mapping, "shop").map(documents), METRICS)
    assert (shown[0].field, shown[0].raw) == ("day and hour", "2026-05-06 12:00")


def test_a_filtered_metric_shows_a_value_of_a_record_that_matches() -> None:
    mapping = read_mapping(tomllib.loads("""
        records = "all[]"
        server = { fixed = "web01" }
        metrics.cpu_user_pct = { field = "value", where = { key = "cpu" } }
        metrics.net_in_mb_s = { field = "in", unit = "bytes", per = "1m" }
        """))  # fmt: skip
    records = [{"key": "mem", "value": 7}, {"key": "cpu", "value": 5, "in": 60_000_000}]
    documents = [{"ts": NOW, "all": records}]
    shown = explain(mapping, documents, Mapper(mapping, "shop").map(documents), METRICS)
    by_target = {line.target: line for line in shown}
    assert (by_target["server"].field, by_target["server"].raw) == ("fixed", "web01")
    assert by_target["cpu_user_pct"].field == "value where key = cpu"
    assert (by_target["cpu_user_pct"].raw, by_target["cpu_user_pct"].value) == (5, 5)
    assert (by_target["net_in_mb_s"].unit, by_target["net_in_mb_s"].value) == ("bytes per 1m", 1)
