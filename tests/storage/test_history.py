from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.history import HistoryError, load, week_minute
from storage.metrics import METRIC_NAMES
from storage.profiles import PROFILE_NAMES

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


def test_the_profile_is_stated_or_told_by_the_name(tmp_path: Path) -> None:
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
