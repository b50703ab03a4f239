from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.inbox.segment import METADATA_KEY, Provenance
from tests.conftest import NOW, LakeFixture

TS = pa.timestamp("us", "UTC")


def sample(**fields: Any) -> dict[str, Any]:
    return {"server": "a", "ts": NOW, "mem_used_pct": 50.0} | fields


def drop(house: LakeFixture, columns: dict[str, Any], table: str = "metrics") -> Path:
    """Put a file into the inbox as a careless writer would."""
    reported = Provenance(table=table, function="careless", created_at=NOW)
    rows = pa.table(columns).replace_schema_metadata({METADATA_KEY: reported.encode()})
    path = house.folders.inbox / "careless.parquet"
    pq.write_table(rows, path)
    return path


def good(count: int = 1) -> dict[str, Any]:
    return {"server": ["a"] * count, "ts": pa.array([NOW] * count, TS)}


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        (good() | {"bogus": [1]}, "wrong column 'bogus'"),
        (
            good() | {"mem_used_pct": ["45 %"]},
            "column 'mem_used_pct' holds string (such as '45 %')",
        ),
        ({"server": ["a"], "ts": [datetime(2026, 5, 6)]}, "give the time a zone"),  # noqa: DTZ001
        ({"ts": pa.array([NOW], TS)}, "column 'server' of metrics is missing"),
        (good() | {"source": pa.array([b"\xff"]).cast(pa.string(), safe=False)}, "UTF"),
        (good() | {"load_average": [[1.0]]}, "column 'load_average' holds list<"),
    ],
)
def test_a_segment_that_does_not_fit_is_rejected_with_its_reason(
    house: LakeFixture, columns: dict[str, Any], reason: str
) -> None:
    drop(house, columns)
    house.put("metrics", [sample()])
    commit = house.commit()
    assert reason in commit.rejected[0].reason
    assert reason in (house.folders.rejected / "careless.reason.txt").read_text()
    assert house.one("SELECT count(*) FROM metrics") == 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"PAR1 and no more", "not a Parquet file"), (b"", "not a Parquet file")],
)
def test_a_truncated_file_is_rejected(house: LakeFixture, content: bytes, reason: str) -> None:
    (house.folders.inbox / "torn.parquet").write_bytes(content)
    assert reason in house.commit().rejected[0].reason


def test_a_segment_cut_in_the_middle_is_rejected(house: LakeFixture) -> None:
    path = house.put("metrics", [sample()])
    path.write_bytes(path.read_bytes()[:-200])
    assert "truncated" in house.commit().rejected[0].reason


def test_a_foreign_parquet_file_is_rejected(house: LakeFixture) -> None:
    pq.write_table(pa.table({"x": [1]}), house.folders.inbox / "foreign.parquet")
    assert "the Parquet file has no hoursight metadata" in house.commit().rejected[0].reason


def test_rows_for_an_unknown_table_are_rejected(house: LakeFixture) -> None:
    drop(house, good(), table="metricz")
    reason = house.commit().rejected[0].reason
    assert "no table 'metricz' (expected one of alert_events, audit, breaches" in reason


def test_a_rejected_file_is_logged_once_however_often_it_arrives(house: LakeFixture) -> None:
    for _ in range(2):
        drop(house, {"x": [1]})
        house.commit()
    assert house.one("SELECT count(*) FROM segments WHERE outcome = 'rejected'") == 1


def test_a_nan_becomes_null_with_a_reason_and_the_rest_of_the_record_stays(
    house: LakeFixture,
) -> None:
    house.put("metrics", [sample(mem_used_pct=float("nan"), load_average=2.0)])
    house.commit()
    row = house.reader.query("SELECT mem_used_pct, load_average FROM metrics").to_pylist()[0]
    assert row == {"mem_used_pct": None, "load_average": 2.0}
    assert "NaN" in house.one("SELECT refusals[1] FROM segments")


def test_a_value_out_of_range_is_refused_and_named(house: LakeFixture) -> None:
    house.put("metrics", [sample(mem_used_pct=4520.0), sample(server="b")])
    house.commit()
    assert "mem_used_pct: 4520 % lies outside 0–100 (a;" in house.one(
        "SELECT refusals[1] FROM segments"
    )
    assert house.one("SELECT count(mem_used_pct) FROM metrics") == 1


def test_a_value_just_over_its_scale_is_stored_as_the_bound_and_counted(
    house: LakeFixture,
) -> None:
    house.put("metrics", [sample(mem_used_pct=v) for v in (100.005,)] + [sample(server="b")])
    house.commit()
    assert house.one("SELECT max(mem_used_pct) FROM metrics") == 100
    logged = house.reader.query("SELECT values_clamped, rows_refused, refusals FROM segments")
    [row] = logged.to_pylist()
    assert (row["values_clamped"], row["rows_refused"]) == (1, 0)
    assert row["refusals"] == [
        "mem_used_pct: 100.005 % lies less than 1 % outside 0–100, stored as the bound (a; 1 value)"
    ]


def test_a_time_in_the_future_is_refused_and_the_other_rows_are_kept(house: LakeFixture) -> None:
    house.put("metrics", [sample(), sample(server="b", ts=NOW + timedelta(minutes=6))])
    house.commit()
    assert house.one("SELECT string_agg(server) FROM metrics") == "a"
    assert "of b lies more than 5 minutes in the future" in house.one(
        "SELECT refusals[1] FROM segments"
    )


@pytest.mark.parametrize(
    ("ts", "says"),
    [
        (
            NOW - timedelta(days=3651),
            "2016-05-07 12:00:30 of b is older than 10 years (it is 2026-",
        ),
        (
            datetime(1970, 1, 21, 13, tzinfo=UTC),
            "a time 1,000 times as far from 1970 could be true",
        ),
        (datetime(1, 1, 1, tzinfo=UTC), "0001-01-01 00:00:00 of b is older than 10 years"),
    ],
)
def test_a_time_older_than_the_age_limit_is_refused_whoever_writes_it(
    house: LakeFixture, ts: datetime, says: str
) -> None:
    house.put("metrics", [sample(), sample(server="b", ts=ts)])
    house.commit()
    assert house.one("SELECT string_agg(server) FROM metrics") == "a"
    assert says in house.one("SELECT refusals[1] FROM segments")


def test_a_time_of_a_year_that_python_has_not_is_refused(house: LakeFixture) -> None:
    times = pa.array([int(NOW.timestamp()) * 10**6, 2**62]).cast(TS)
    drop(house, {"server": ["a", "b"], "ts": times, "load_average": [1.0, 2.0]})
    house.commit()
    assert house.one("SELECT count(*) FROM metrics") == 1
    assert "after the year 9999 of b lies more than" in house.one(
        "SELECT refusals[1] FROM segments"
    )


def test_the_settings_raise_the_age_limit(house: LakeFixture) -> None:
    (house.folders.data / "hoursight.toml").write_text('[times]\nmax_age = "7300d"\n')
    house.put("metrics", [sample(ts=datetime(2011, 5, 6, tzinfo=UTC))])
    house.commit()
    assert house.one("SELECT count(*) FROM metrics") == 1


def test_a_record_without_a_server_is_refused(house: LakeFixture) -> None:
    drop(house, {"server": ["a", None], "ts": pa.array([NOW] * 2, TS), "load_average": [1.0, 2.0]})
    house.commit()
    assert house.one("SELECT count(*) FROM metrics") == 1
    assert "server: missing" in house.one("SELECT refusals[1] FROM segments")


def test_a_record_without_any_reading_is_refused(house: LakeFixture) -> None:
    house.put("metrics", [sample(mem_used_pct=None)])
    house.commit()
    assert house.one("SELECT count(*) FROM metrics") == 0


def test_idle_is_derived_only_when_the_other_three_are_there(house: LakeFixture) -> None:
    parts = {"cpu_user_pct": 20.0, "cpu_sys_pct": 5.0, "cpu_iowait_pct": 15.0}
    house.put("metrics", [sample(**parts), sample(server="b", cpu_user_pct=20.0)])
    house.commit()
    rows = house.reader.query("SELECT server, cpu_idle_pct FROM metrics ORDER BY server")
    assert rows["cpu_idle_pct"].to_pylist() == [60.0, None]


def test_cpu_parts_that_do_not_sum_up_are_kept_and_flagged(house: LakeFixture) -> None:
    house.put(
        "metrics", [sample(cpu_user_pct=90, cpu_sys_pct=90, cpu_iowait_pct=0, cpu_idle_pct=0)]
    )
    house.commit()
    assert house.one("SELECT count(cpu_user_pct) FROM metrics") == 1
    assert "is 180.0 in 1 rows" in house.one("SELECT refusals[1] FROM segments")
