from datetime import timedelta

import pytest

from storage.model.metrics import METRIC_NAMES, Metric
from storage.model.schema import STOCK, TABLES, UnknownTable, customized, rollup_complete, table

GPU = Metric("gpu_used_pct", "GPU", "%", "gauge", 100, "high", "GPU used")


def test_each_metric_is_a_column_of_the_samples_and_three_of_the_rollups() -> None:
    assert set(METRIC_NAMES) <= set(table("metrics").names)
    for name in METRIC_NAMES:
        assert {f"{name}_mean", f"{name}_max", f"{name}_count"} <= set(table("metrics_5m").names)


def test_keys_and_times_of_every_table_are_among_its_columns() -> None:
    for each in TABLES:
        assert {*each.key, each.time} <= set(each.names)
        assert not each.provisional or each.provisional[0] in each.names
        assert all(column.meaning for column in each.columns)


def test_only_a_table_that_loses_old_rows_is_partitioned_by_day() -> None:
    assert {t.name for t in TABLES if t.by_day} == {t.name for t in TABLES if t.retention}


def test_an_own_metric_is_added_to_both_tables_of_measurements() -> None:
    schema = customized([GPU], {})
    assert schema.table("metrics").names[-1] == "gpu_used_pct"
    assert schema.table("metrics_5m").names[-3:] == (
        "gpu_used_pct_mean", "gpu_used_pct_max", "gpu_used_pct_count",
    )  # fmt: skip
    assert schema.table("risks") == STOCK.table("risks")
    assert schema.metrics[-1] is GPU


def test_the_settings_change_the_retention_of_single_tables() -> None:
    schema = customized([], {"runs": None, "metrics": timedelta(days=2)})
    assert schema.table("runs").retention is None
    assert schema.table("metrics").retention_text == "2d"
    assert schema.table("risks").retention == STOCK.table("risks").retention


def test_an_unknown_table_is_named_with_those_that_exist() -> None:
    with pytest.raises(UnknownTable, match=r"no table 'metrix' \(expected one of alert_events"):
        STOCK.table("metrix")


def test_a_rollup_is_complete_when_every_metric_has_as_many_samples() -> None:
    assert rollup_complete(["a", "b"]) == (
        "coalesce(stored.a_count, 0) >= steps.a_count AND "
        "coalesce(stored.b_count, 0) >= steps.b_count"
    )
