"""Names without a unit: which they are, and in which words their values are refused."""

from datetime import UTC, datetime
from typing import Any

import pytest

from functions.normalize.mapper import Mapped, Mapper
from functions.normalize.mapping import read_mapping
from functions.normalize.unclear_names import UNCLEAR_NAMES, unclear_fields
from functions.normalize.units import UNITS, fits
from storage.model.metrics import metric

NOW = datetime(2026, 5, 6, 12, tzinfo=UTC)


def mapped(raw: dict[str, Any], **fields: Any) -> Mapped:
    return Mapper(read_mapping(raw), "shop").map([{"ts": NOW, "host": "a", "load1": 1, **fields}])


@pytest.mark.parametrize("name", UNCLEAR_NAMES)
def test_an_unclear_name_is_in_no_stock_mapping_and_its_example_can_be_written(name: str) -> None:
    unclear = UNCLEAR_NAMES[name]
    for stock in ("flat", "metricbeat"):
        assert name not in read_mapping({"stock": stock}).paths
    assert unclear.example in UNITS
    assert not fits(metric(unclear.metric), unclear.example, counter=False)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("uptime", 864_000, "the name 'uptime' does not say its unit (seconds, hours or days?)"),
        ("network_in", 123_456_789, 'add [mapping.metrics] net_in_mb_s = { field = "network_in"'),
        ("memory_used", 0.45, "(percent or a fraction?), as 0.45: add [mapping.metrics] mem_used"),
        ("disk_used", "67% /data", "not mapped: the name 'disk_used'"),
    ],
)
def test_a_value_whose_name_does_not_say_its_unit_is_refused_with_the_remedy(
    name: str, value: Any, says: str
) -> None:
    result = mapped({}, **{name: value})
    assert result.rows.num_rows == 1
    assert result.rejects.count == 1
    assert says in result.rejects.sentences()[0]


def test_a_mapping_that_states_the_unit_has_the_value() -> None:
    raw = {"metrics": {"uptime_days": {"field": "uptime", "unit": "s"}}}
    result = mapped(raw, uptime=864_000)
    assert (result.rows["uptime_days"].to_pylist(), result.rejects.count) == ([10.0], 0)


def test_a_metric_that_another_field_has_is_not_asked_for() -> None:
    assert not mapped({}, uptime_days=10, uptime=864_000).rejects
    chosen = {"metrics": {"uptime_days": {"field": "up", "unit": "s"}}}
    assert "uptime" not in unclear_fields(read_mapping(chosen))
    assert not unclear_fields(read_mapping(chosen | {
        "stock": "none", "time": {"field": "ts"}, "server": {"field": "host"},
    }))  # fmt: skip
