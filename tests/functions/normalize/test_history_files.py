from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from functions.normalize.history_files import load, read, read_samples
from functions.normalize.mapping import Time
from storage.model.metrics import METRIC_NAMES
from storage.model.profiles import PROFILE_NAMES
from storage.query.history import HistoryError

CPU = METRIC_NAMES.index("cpu_user_pct")
START = datetime(2026, 1, 5, tzinfo=UTC)
NOON_S = 1_767_614_400  # 2026-01-05 12:00 UTC


def csv(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "h.csv"
    path.write_text(text)
    return path


def a_row(ts: object) -> str:
    return f"ts,server,cpu_user_pct\n{ts},a,5\n"


@pytest.mark.parametrize(
    ("ts", "time"),
    [
        ("2026-01-05T12:00:00Z", {}),
        ("2026-01-05T14:00:00.5+02:00", {}),
        ("2026-01-05 12:00", {"zone": "UTC"}),
        ("2026-01-05 13:00", {"zone": "Europe/Berlin"}),
        (NOON_S, {"format": "epoch_s"}),
        (NOON_S * 1000, {"format": "epoch_ms"}),
        ("05.01.2026 12:00", {"format": "%d.%m.%Y %H:%M", "zone": "UTC"}),
    ],
)
def test_a_time_is_what_its_format_and_zone_say(
    tmp_path: Path, ts: object, time: dict[str, str]
) -> None:
    samples = read_samples([csv(tmp_path, a_row(ts))], Time(field="ts", **time))
    assert samples.seconds.tolist() == [NOON_S]
    assert samples.values[0, CPU] == 5


@pytest.mark.parametrize(
    ("ts", "says"),
    [
        (NOON_S, f"ts: '{NOON_S}' is a number whose unit is not stated"),
        (NOON_S * 1000, "name the unit with --time-format epoch_s, epoch_ms"),
        (f"{NOON_S}.5", "expected ISO 8601 with a zone"),
        ("2026-01-05 12:00", "has no zone .* --time-zone UTC"),
        ("05.01.2026", "expected ISO 8601 with a zone, or what --time-format says"),
    ],
)
def test_no_unit_and_no_zone_of_a_time_is_guessed(tmp_path: Path, ts: object, says: str) -> None:
    with pytest.raises(HistoryError, match=says):
        read_samples([csv(tmp_path, a_row(ts))])


def test_seconds_that_are_read_as_milliseconds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="is not a year from 1971"):
        read_samples([csv(tmp_path, a_row(NOON_S))], Time(field="ts", format="epoch_ms"))


def test_numbers_and_naive_times_in_parquet_are_not_guessed_either(tmp_path: Path) -> None:
    path = tmp_path / "h.parquet"
    rows = {"ts": [NOON_S, None], "server": ["a", "a"], "cpu_user_pct": [1, 2]}
    pq.write_table(pa.table(rows), path)
    with pytest.raises(HistoryError, match=rf"ts: {NOON_S} is a number whose unit is not stated"):
        read_samples([path])
    samples = read_samples([path], Time(field="ts", format="epoch_s"))
    assert samples.seconds.tolist() == [NOON_S]
    assert samples.reasons == ("h.parquet: ts is missing (1 time)",)
    pq.write_table(pa.table(rows | {"ts": pa.array([0, 1], pa.timestamp("us"))}), path)
    with pytest.raises(HistoryError, match="has no zone"):
        read_samples([path])


def test_what_cannot_be_taken_is_told_and_the_rest_is_kept(tmp_path: Path) -> None:
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
        "h.csv: line 8: 3 columns instead of 5: 'a,2026-01-05T12:00:00Z,1' (1 time)",
        "h.csv: ts: 'yesterday' is not a time of format 'iso'; expected ISO 8601 with a zone, or "
        "what --time-format says (1 time)",
        "h.csv: server is missing (1 time)",
        "h.csv: cpu_user_pct: 'much' is not a number (1 time)",
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
        ("ts,server,cpu_user_pct\nsoon,a,1\n", "no row is left: h.csv: ts: 'soon' is not a time"),
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


def test_readings_of_any_cadence_become_means_of_5_minutes(tmp_path: Path) -> None:
    rows = [
        {"ts": START + timedelta(seconds=s), "server": "a", "load_average": v}
        for s, v in [(0, 1.0), (10, 2.0), (299, None), (290, 6.0), (300, 5.0)]
    ]
    history = load([written(tmp_path / "h.parquet", rows)])
    assert history.values[0, :, METRIC_NAMES.index("load_average")].tolist() == [3.0, 5.0]


def test_csv_and_parquet_tell_the_same(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"ts": START + timedelta(minutes=m), "server": "a", "load_average": m / 3} for m in range(9)
    ]
    parquet = written(tmp_path / "h.parquet", rows)
    pyarrow.csv.write_csv(pa.Table.from_pylist(rows), tmp_path / "h.csv")
    np.testing.assert_array_equal(load([parquet]).values, load([tmp_path / "h.csv"]).values)


def test_a_wrong_year_is_suspected_before_memory_is_asked_for(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"ts": ts, "server": f"a{i}", "load_average": 1.0}
        for i, ts in enumerate([START.replace(year=1972), *[START] * 20])
    ]
    with pytest.raises(HistoryError, match=r"1972-01-05 00:00 to 2026-.*is a time wrong"):
        load([written(tmp_path / "h.parquet", rows)])


def test_patterns_of_the_settings_tell_the_profile_of_servers_that_state_none(
    tmp_path: Path,
) -> None:
    rows: list[dict[str, object]] = [{"ts": START, "server": "shop-1", "load_average": 1.0}]
    path = written(tmp_path / "h.parquet", rows)
    history = read([path], patterns={"database": ("shop-*",)}).history
    assert PROFILE_NAMES[history.profiles[0]] == "database"


def test_a_value_at_saturation_is_clamped_with_a_note(tmp_path: Path) -> None:
    text = "ts,server,cpu_user_pct\n2026-01-05T12:00:00Z,a,100.005\n"
    samples = read_samples([csv(tmp_path, text)])
    assert (samples.values[0, 0], samples.refused) == (100, 0)
    assert (
        "cpu_user_pct, less than 1 % outside 0–100, stored as the bound: 100.005 %"
        in (samples.reasons[0])
    )


def test_json_lines_are_a_history_too(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    path.write_text(
        '{"ts": "2026-01-05T12:00:00Z", "server": "a", "load_average": 2}\n'
        '{"ts": "2026-01-05T12:05:00Z", "server": "a", "cpu_user_pct": 5}\n{\n'
    )
    samples = read_samples([path])
    assert samples.seconds.tolist() == [NOON_S, NOON_S + 300]
    assert samples.refused == 1


def test_local_times_of_a_history_are_told_by_server_where_the_clock_is_set_back(
    tmp_path: Path,
) -> None:
    clock = ["01:30", "02:00", "02:30", "02:00", "02:30", "03:00"]
    rows: list[dict[str, object]] = [
        {"ts": f"2026-10-25 {each}", "server": server, "load_average": 1.0}
        for each in clock for server in "ab"
    ]  # fmt: skip
    time = Time(field="ts", zone="Europe/Berlin")
    samples = read_samples([written(tmp_path / "h.parquet", rows)], time)
    seconds = samples.seconds[samples.servers == "a"]
    assert np.diff(seconds).tolist() == [1800] * 5
    assert samples.refused == 0
