from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from storage.model.metrics import METRIC_NAMES
from storage.model.profiles import PROFILE_NAMES
from storage.query.history import HistoryError, from_lake, load, week_minute
from tests.conftest import LakeFixture

START = datetime(2026, 1, 5, tzinfo=UTC)


def written(path: Path, rows: list[dict[str, object]]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_rows_fall_into_their_steps_and_gaps_are_nan(tmp_path: Path) -> None:
    rows = [
        {"ts": START + timedelta(minutes=m), "server": s, "cpu_user_pct": v}
        for m, s, v in [(0, "b", 1.0), (17, "b", 2.0), (5, "a", 3.0)]
    ]
    history = load([written(tmp_path / "h.parquet", rows)])
    assert history.servers == ("a", "b")
    assert history.values.shape == (2, 4, 14)
    user = history.values[:, :, METRIC_NAMES.index("cpu_user_pct")]
    np.testing.assert_array_equal(user[1], [1.0, np.nan, np.nan, 2.0])
    assert user[0, 1] == 3.0
    assert np.isnan(history.values[..., 1:]).all()


def test_the_profile_is_stated_or_derived_from_the_name(tmp_path: Path) -> None:
    rows = [
        {"ts": START, "server": "x1", "profile": "database", "load_average": 1.0},
        {"ts": START, "server": "web-7", "profile": None, "load_average": 1.0},
    ]
    history = load([written(tmp_path / "h.parquet", rows)])
    kinds = dict(zip(history.servers, (PROFILE_NAMES[i] for i in history.profiles), strict=True))
    assert kinds == {"x1": "database", "web-7": "web_api"}


def test_several_files_make_one_history(tmp_path: Path) -> None:
    first = written(tmp_path / "1", [{"ts": START, "server": "a", "load_average": 1.0}])
    later = START + timedelta(hours=1)
    second = written(tmp_path / "2", [{"ts": later, "server": "a", "net_in_mb_s": 2.0}])
    history = load([first, second])
    assert history.steps == 13
    assert history.span == (START, later + timedelta(minutes=5))


def test_a_file_without_metrics_is_refused_by_name(tmp_path: Path) -> None:
    path = written(tmp_path / "odd.parquet", [{"ts": START, "server": "a", "temperature": 1.0}])
    with pytest.raises(HistoryError, match=r"odd\.parquet.*temperature"):
        load([path])


def test_a_file_that_is_no_parquet_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "text.parquet"
    path.write_text("hello")
    with pytest.raises(HistoryError, match=r"text\.parquet: not a readable Parquet file"):
        load([path])


def test_the_week_begins_on_monday_at_midnight() -> None:
    assert week_minute(int(START.timestamp())) == 0
    assert week_minute(int((START + timedelta(days=8, hours=2)).timestamp())) == 1440 + 120


def test_readings_of_any_cadence_become_means_of_5_minutes(tmp_path: Path) -> None:
    rows = [
        {"ts": START + timedelta(seconds=s), "server": "a", "load_average": v}
        for s, v in [(0, 1.0), (10, 2.0), (299, None), (290, 6.0), (300, 5.0)]
    ]
    history = load([written(tmp_path / "h.parquet", rows)])
    assert history.values[0, :, METRIC_NAMES.index("load_average")].tolist() == [3.0, 5.0]


def test_csv_and_parquet_give_the_same_samples(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"ts": START + timedelta(minutes=m), "server": "a", "load_average": m / 3} for m in range(9)
    ]
    parquet = written(tmp_path / "h.parquet", rows)
    pyarrow.csv.write_csv(pa.Table.from_pylist(rows), tmp_path / "h.csv")
    np.testing.assert_array_equal(load([parquet]).values, load([tmp_path / "h.csv"]).values)


def test_a_wrong_year_is_refused_before_memory_is_allocated(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"ts": ts, "server": f"a{i}", "load_average": 1.0}
        for i, ts in enumerate([START, START.replace(year=1026), START, START])
    ]
    with pytest.raises(HistoryError, match=r"1026-01-05 00:00 to 2026-.*check the times"):
        load([written(tmp_path / "h.parquet", rows)])


def test_the_lake_gives_its_last_steps(house: LakeFixture) -> None:
    ts = [START + timedelta(minutes=5 * i) for i in range(4)]
    house.put("server_facts", [{"server": "ppdb1", "ts": START}])
    house.put("metrics_5m", [{"server": "ppdb1", "ts": t, "load_average_mean": i}
                             for i, t in enumerate(ts)])  # fmt: skip
    house.commit()
    history = from_lake(house.reader, 3)
    assert history.span == (ts[1], ts[3] + timedelta(minutes=5))
    assert history.values[0, :, METRIC_NAMES.index("load_average")].tolist() == [1, 2, 3]
    assert PROFILE_NAMES[history.profiles[0]] == "database"


def test_a_lake_without_a_complete_step_is_told_so(house: LakeFixture) -> None:
    with pytest.raises(HistoryError, match="no complete 5-minute step yet"):
        from_lake(house.reader, 3)
