import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import hoursight
from functions.engine.function import Batch
from scripts.cli.output import format_time, print_grid, show_batch, show_rows, show_schema
from storage.config.settings import MetricSettings, Settings
from storage.model.metrics import METRICS
from tests.conftest import NOW

ROWS = pa.table({"server": ["a"], "ts": [NOW], "p50": [[1.5, None]], "score": [None]})


def test_a_time_is_shown_in_utc_to_the_second() -> None:
    berlin = timezone(timedelta(hours=2))
    at = datetime(2026, 5, 6, 14, 0, 30, 999_999, tzinfo=berlin)
    assert format_time(at) == "2026-05-06 12:00:30Z"


def test_lists_are_json_in_csv(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    show_rows(ROWS, "csv")
    header, row = capsysbinary.readouterr().out.decode().splitlines()
    assert header == '"server","ts","p50","score"'
    assert row.endswith(',"[1.5, null]",')


def test_each_row_is_a_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    show_rows(pa.concat_tables([ROWS, ROWS]), "json")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines == 2 * [
        {"server": "a", "ts": "2026-05-06 12:00:30Z", "p50": [1.5, None], "score": None}
    ]


def test_parquet_keeps_the_types(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    show_rows(ROWS, "parquet")
    assert pq.read_table(pa.BufferReader(capsysbinary.readouterr().out)).equals(ROWS)


def test_a_long_value_is_not_cut_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    print_grid(["name", "value"], [["x" * 500, 1 / 3]])
    assert "x" * 500 + "  0.333333" in capsys.readouterr().out


def test_markup_in_a_value_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    print_grid(["name"], [["[red]:smile:[/red]"]])
    assert "[red]:smile:[/red]" in capsys.readouterr().out


def test_samples_are_shown_metric_by_metric_with_units(capsys: pytest.CaptureFixture[str]) -> None:
    rows = pa.table(
        {"server": ["web1"], "ts": [datetime(2026, 5, 6, tzinfo=UTC)], "swap_used_pct": [3.0]}
    )
    show_batch(Batch({"metrics": rows}))
    out = capsys.readouterr().out
    assert "metrics: 1 rows" in out
    assert "web1 at 2026-05-06 00:00:00Z" in out
    assert out.count("missing") == len(METRICS) - 1


def test_the_schema_has_the_metrics_of_the_settings(capsys: pytest.CaptureFixture[str]) -> None:
    show_schema("metrics_5m", Settings(metrics=[MetricSettings("gpu_used_pct")]).schema())
    assert "gpu_used_pct_count" in capsys.readouterr().out


def test_schema_shows_the_retention_of_the_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "hoursight.toml").write_text('[retention]\nruns = "3d"\n')
    hoursight.main(["schema", "--data", str(tmp_path)])
    assert "3d" in capsys.readouterr().out
