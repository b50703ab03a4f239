from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.model.metrics import METRIC_NAMES
from storage.query.history_files import HistoryError, read_samples

CPU = METRIC_NAMES.index("cpu_user_pct")
NOON_S = 1_767_614_400  # 2026-01-05 12:00 UTC


def csv(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "h.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "told",
    [
        "2026-01-05T12:00:00Z",
        "2026-01-05 12:00",
        "2026-01-05T14:00:00.5+02:00",
        NOON_S,
        NOON_S * 1000,
    ],
)
def test_a_time_is_iso_8601_or_seconds_or_milliseconds(tmp_path: Path, told: object) -> None:
    samples = read_samples([csv(tmp_path, f"ts,server,cpu_user_pct\n{told},a,5\n")])
    assert samples.seconds.tolist() == [NOON_S]
    assert samples.values[0, CPU] == 5


def test_numbers_in_parquet_are_times_too(tmp_path: Path) -> None:
    rows = {"ts": [NOON_S, None], "server": ["a", "a"], "cpu_user_pct": [1, 2]}
    pq.write_table(pa.table(rows), tmp_path / "h.parquet")
    samples = read_samples([tmp_path / "h.parquet"])
    assert samples.seconds.tolist() == [NOON_S]
    assert samples.reasons == (
        "h.parquet: ts: None is no time; ISO 8601 is, with a zone (1 time)",
    )  # fmt: skip


def test_invalid_rows_are_reported_and_the_rest_is_read(tmp_path: Path) -> None:
    text = (
        "server,ts,cpu_user_pct,load_average,colour\n"
        "a,2026-01-05T12:00:00Z,50,1,red\n"
        "a,yesterday,50,1,red\n"
        ",2026-01-05T12:00:00Z,50,1,red\n"
        "a,2026-01-05T12:00:00Z,150,1,red\n"
        "a,2026-01-05T12:00:00Z,much,,red\n"
        "a,2026-01-05T12:00:00Z,NaN,inf,red\n"
        "a,2026-01-05T12:00:00Z,1\n"
    )
    samples = read_samples([csv(tmp_path, text)])
    assert samples.ignored == ("colour",)
    assert samples.refused == 6
    assert samples.reasons == (
        "h.csv: 3 columns instead of 5: 'a,2026-01-05T12:00:00Z,1' (1 time)",
        "h.csv: ts: 'yesterday' is no time; ISO 8601 is, with a zone (1 time)",
        "h.csv: server is missing (1 time)",
        "h.csv: cpu_user_pct: 'much' is no number (1 time)",
        "h.csv: cpu_user_pct: 150 % lies outside 0–100 (1 time)",
        "h.csv: load_average: infinity is not a reading; send NULL for a missing value (1 time)",
    )
    assert len(samples.seconds) == 4
    np.testing.assert_array_equal(samples.values[:, CPU], [50, np.nan, np.nan, np.nan])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "neither Parquet nor readable as CSV"),
        ("ts,server,colour\n1,a,red\n", "at least one metric .* has ts, server, colour"),
        ("ts,ts,server,cpu_user_pct\n1,1,a,1\n", "a column comes twice"),
        ("ts,server,cpu_user_pct\nsoon,a,1\n", "no row is left: h.csv: ts: 'soon' is no time"),
        ("ts,server,cpu_user_pct\n", "no row is left: there is none"),
    ],
)
def test_a_file_of_which_nothing_can_be_taken_is_refused(
    tmp_path: Path, text: str, says: str
) -> None:
    with pytest.raises(HistoryError, match=says):
        read_samples([csv(tmp_path, text)])


def test_a_missing_file_and_a_column_of_lists_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match=r"none\.csv: cannot be read"):
        read_samples([tmp_path / "none.csv"])
    rows = {"ts": [NOON_S], "server": ["a"], "cpu_user_pct": [[1.0]]}
    pq.write_table(pa.table(rows), tmp_path / "h.parquet")
    with pytest.raises(HistoryError, match=r"'cpu_user_pct' holds list.*numbers are needed"):
        read_samples([tmp_path / "h.parquet"])
