from datetime import UTC, datetime, timedelta
from pathlib import Path

from scripts.tools.bench.forecast_cycle import lake_of, main
from storage.model.grid import CONTEXT_STEPS
from storage.query.reader import Reader

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def test_a_cycle_commits_a_forecast_of_each_server_and_metric(tmp_path: Path) -> None:
    lake_of(tmp_path, 3, NOON)
    measured = main(tmp_path, NOON + timedelta(seconds=40))
    reader = Reader.open(tmp_path)
    rolled = reader.query("SELECT count(*) AS n FROM metrics_5m")["n"][0].as_py()
    forecasts = reader.query("SELECT state, count(*) AS n FROM forecasts GROUP BY state")
    reader.close()
    assert rolled == 3 * CONTEXT_STEPS
    assert forecasts.to_pylist() == [{"state": "ok", "n": 3 * 14}]
    assert measured["rows"] >= 3 * 14
    assert 0 < measured["function_s"] <= measured["whole_s"]
