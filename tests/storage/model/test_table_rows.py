from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pyarrow as pa
import pytest

from storage.model.schema import table
from tests.conftest import NOW, LakeFixture

METRICS, FACTS = table("metrics"), table("server_facts")


def test_rows_have_the_tables_types_and_only_the_columns_that_occur() -> None:
    rows = METRICS.rows(
        [{"mem_used_pct": 61, "server": "a", "ts": NOW}, {"server": "b", "ts": NOW}]
    )
    assert rows.schema == pa.schema(
        [METRICS.arrow.field(name) for name in ("server", "ts", "mem_used_pct")]
    )
    assert rows["mem_used_pct"].to_pylist() == [61.0, None]


def test_no_rows_are_an_empty_table_of_all_columns() -> None:
    assert METRICS.rows(iter(())).schema == METRICS.arrow


def test_times_are_taken_in_any_zone_and_are_utc() -> None:
    tokyo = datetime(2026, 5, 6, 21, tzinfo=timezone(timedelta(hours=9)))
    rows = METRICS.rows([{"server": "a", "ts": tokyo}])
    assert rows["ts"].to_pylist() == [datetime(2026, 5, 6, 12, tzinfo=UTC)]


def test_a_whole_number_is_a_number_however_large() -> None:
    rows = METRICS.rows([{"server": "a", "ts": NOW, "mem_used_pct": 2**24 + 1}])
    assert rows["mem_used_pct"].to_pylist() == [2**24]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"server": None}, r"server_facts row 1: server is missing \(expected text\)"),
        ({"ts": datetime(2026, 5, 6)}, "ts 2026-05-06 00:00:00 has no time zone .*tzinfo=UTC"),  # noqa: DTZ001
        (
            {"ts": "2026-05-06T12:00:00Z"},
            r"ts '2026-05-06T12:00:00Z' is not valid \(expected a dat",
        ),
        ({"cores": "many"}, r"cores 'many' is not valid \(expected a whole number, int32\)"),
        ({"cores": 2**40}, "cores 1099511627776 is not valid"),
        ({"profile": 7}, r"profile 7 is not valid \(expected text\)"),
        ({"kores": 4}, r"server_facts has no column 'kores' \(expected server, ts, profile"),
    ],
)
def test_a_wrong_row_is_named_with_what_is_expected(row: dict[str, Any], says: str) -> None:
    good = {"server": "a", "ts": NOW}
    with pytest.raises(ValueError, match=says):
        FACTS.rows([good, good | row])


def test_a_row_without_a_required_column_is_refused() -> None:
    with pytest.raises(ValueError, match="server_facts row 0: ts is missing"):
        FACTS.rows([{"server": "a"}])


@pytest.mark.parametrize(
    ("rows", "says"),
    [({"server": "a"}, "is one dict"), (["a"], "metrics row 0: 'a' is not a row")],
)
def test_what_is_not_a_list_of_dicts_is_refused(rows: Any, says: str) -> None:
    with pytest.raises(TypeError, match=says):
        METRICS.rows(rows)


def test_a_text_in_a_metric_is_refused() -> None:
    with pytest.raises(ValueError, match=r"mem_used_pct '61' is not valid \(expected a number\)"):
        METRICS.rows([{"server": "a", "ts": NOW, "mem_used_pct": "61"}])


def test_a_metric_of_the_settings_is_a_column_and_reaches_the_lake(house: LakeFixture) -> None:
    house.folders.settings.write_text(
        '[[metrics]]\nname = "gpu_used_pct"\nunit = "%"\nhighest = 100\nmeaning = "busiest GPU"\n'
    )
    rows = METRICS.rows([{"server": "a", "ts": NOW, "gpu_used_pct": 50}])
    assert rows.schema.field("gpu_used_pct").type == pa.float32()
    with pytest.raises(ValueError, match="no column gpu_spelt_wrong"):
        house.put("metrics", METRICS.rows([{"server": "a", "ts": NOW, "gpu_spelt_wrong": 50}]))
    assert house.put("metrics", rows).exists()
