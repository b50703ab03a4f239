import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import hoursight
from functions.engine.forecaster import SHIPPED, Forecaster
from functions.normalize.history_files import LoadedHistory
from functions.rules.evaluation.baselines import LAST_VALUE, SEASONAL
from functions.rules.evaluation.scoring import held_out_windows
from scripts.cli.backtest import SERVED, backtest, served
from scripts.cli.backtest_report import page
from storage.model.metrics import METRIC_NAMES
from storage.query.history import History, HistoryError
from tests.conftest import LakeFixture
from tests.storage.small_fleets import MONDAY_S, fleet

MONDAY = datetime.fromtimestamp(MONDAY_S, UTC)
MEMORY = METRIC_NAMES.index("mem_used_pct")

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def forecaster() -> Forecaster:
    return Forecaster.open(SHIPPED)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs `hoursight backtest` on a data folder that is not there; gives code, output, errors."""

    def call(*arguments: object, data: Path = tmp_path / "none") -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as leave:
            hoursight.main(["backtest", "--data", str(data), *map(str, arguments)])
        return (int(leave.value.code or 0), *capsys.readouterr())

    return call


def waves(path: Path, days: float = 2.5, servers: int = 2) -> Path:
    """A file with the memory of some servers: a daily wave and noise, every 5 minutes."""
    history = fleet(servers, days=3).last(10**6)
    steps = int(days * 288)
    rows = {
        "ts": [MONDAY + timedelta(minutes=5 * i) for i in range(steps)] * servers,
        "server": np.repeat(history.servers, steps),
        "mem_used_pct": history.values[:, :steps, MEMORY].reshape(-1),
        "colour": ["red"] * steps * servers,
    }
    pq.write_table(pa.table(rows), path)
    return path


def random_walk(steps: int = 1152, seed: int = 3) -> History:
    """A server whose memory goes nowhere and never the same way: the last value is hard to beat."""
    history = fleet(1, days=4)
    values = np.full_like(history.values, np.nan)
    stairs = np.repeat(np.random.default_rng(seed).uniform(5, 95, steps // 288), 288)
    values[0, :, MEMORY] = stairs
    return History(history.servers, history.profiles, history.start_s, values)


def test_the_forecast_scored_is_the_one_that_users_get(forecaster: Forecaster) -> None:
    windows = held_out_windows(fleet(2, days=3), origins=2)
    found = served(forecaster)(windows.context, windows.week_minute, windows.profile)
    for row, back in enumerate([2, 1, 2, 1]):
        start = MONDAY + timedelta(days=3) - back * timedelta(hours=8) - timedelta(days=1)
        context, profile = windows.context[row : row + 1], windows.profile[row : row + 1]
        expected = forecaster.predict(context, start, profile).quantiles
        np.testing.assert_allclose(found[row], expected[0], atol=1e-3)


def test_all_forecasts_are_compared_on_the_same_values(forecaster: Forecaster) -> None:
    history = fleet(2, days=3)
    history.values[0, -150:-96] = np.nan  # silent before the last origin: no forecast from it
    found = backtest(history, forecaster, origins=2)
    counts = [found.tallies[name].count for name in found.tallies]
    assert all((count == counts[0]).all() for count in counts)
    assert counts[0][:, 0, MEMORY].tolist() == [6, 0, 6, 6]
    assert found.abstained == 96 * 14
    assert found.score(SEASONAL).loss == pytest.approx(1)


def test_fewer_origins_than_asked_for_are_taken_from_the_end(forecaster: Forecaster) -> None:
    found = backtest(fleet(1, days=2), forecaster, origins=14)
    assert found.origins == 3
    assert found.history.span[1] == MONDAY + timedelta(days=2)
    assert found.metrics == METRIC_NAMES


def test_it_loses_when_one_of_the_naive_forecasts_is_better(forecaster: Forecaster) -> None:
    found = backtest(random_walk(), forecaster, origins=6)
    best = min(found.score(SEASONAL).loss, found.score(LAST_VALUE).loss)
    assert found.loses == (found.score(SERVED).loss > best)
    assert found.loses
    assert not backtest(fleet(2, days=3), forecaster, origins=2).loses


def test_a_fleet_that_never_moves_cannot_be_compared(forecaster: Forecaster) -> None:
    history = fleet(1, days=3)
    history.values[...] = 5.0
    with pytest.raises(HistoryError, match="nothing can be compared"):
        backtest(history, forecaster, origins=1)


def test_the_command_tells_metric_by_metric_and_lead_by_lead(run: Run, tmp_path: Path) -> None:
    file, out_file = waves(tmp_path / "h.parquet"), tmp_path / "o.json"
    code, out, _ = run(file, "--origins", 4, "--json", out_file)
    assert code == 0
    assert "columns that are no metric, ignored: colour" in out
    assert re.search(r"2 servers, 2026-01-05 04:00:00Z to 2026-01-07 12:00:00Z: 4 origins", out)
    lines = [line.split()[0] for line in out.splitlines() if re.search(r"\d\.\d{3} ", line)]
    assert lines == ["mem_used_pct", "1", "2", "4", "8", "all", "all", "1", "2", "4", "8", "all",
                     "The"]  # fmt: skip
    told = json.loads(out_file.read_text())
    assert told["loses_to_naive"] is False
    assert len(told["scores"]) == 2 * 6 * 5  # memory and all, leads and all, forecasts
    assert told["targets"] == {"scored": 2 * 4 * 96, "abstained": 0}
    whole = [s for s in told["scores"] if s["metric"] is None and s["lead_minutes"] is None]
    assert {s["forecast"] for s in whole if s["loss"] == 1} == {"seasonal naive"}


def test_losing_to_naive_is_exit_code_1(run: Run, tmp_path: Path) -> None:
    history = random_walk()
    rows = {
        "ts": [MONDAY + timedelta(minutes=5 * i) for i in range(history.steps)],
        "server": ["a"] * history.steps,
        "mem_used_pct": history.values[0, :, MEMORY],
    }
    pq.write_table(pa.table(rows), tmp_path / "walk.parquet")
    code, out, _ = run(tmp_path / "walk.parquet")
    assert code == 1
    assert "The served forecast loses to a naive one: loss" in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "name files, or --lake"),
        (["FILE", "--lake"], "one of both"),
        (["FILE", "--servers", "db*"], "'db*': no server is called so; there are app000, app001"),
        (["FILE", "--model", "FILE"], "truncated or not an ONNX model"),
        (["FILE", "--html", "no/such/folder/r.html"], "no/such/folder; make it"),
        (["--lake"], "start one with 'hoursight demo'"),
        (["FILE", "--origins", "0"], "0 is not in the range"),
    ],
)
def test_bad_input_is_exit_code_2_with_the_remedy(
    run: Run, tmp_path: Path, arguments: list[str], says: str
) -> None:
    file = waves(tmp_path / "h.parquet", days=1.4)
    code, _, err = run(*(str(file) if word == "FILE" else word for word in arguments))
    assert code == 2
    assert says in err
    assert "Traceback" not in err


def test_too_short_a_history_is_told_what_is_needed(run: Run, tmp_path: Path) -> None:
    code, _, err = run(waves(tmp_path / "h.parquet", days=1))
    assert code == 2
    assert "spans 24.0 h, from 2026-01-05 00:00:00Z to 2026-01-06 00:00:00Z" in err
    assert "needs 32 h: 24 h before the first forecast and the 8 h" in err


def test_a_candidate_is_tried_on_some_servers(run: Run, tmp_path: Path) -> None:
    candidate = tmp_path / "candidate.onnx"
    candidate.write_bytes(SHIPPED.read_bytes())
    file = waves(tmp_path / "h.parquet", days=1.4, servers=3)
    code, out, _ = run(file, "--model", candidate, "--servers", "app000, *2")
    assert code == 0
    assert "on 2 servers" in out


def test_the_lake_is_a_history_too(run: Run, house: LakeFixture) -> None:
    history = fleet(1, days=2)
    house.put("server_facts", [{"server": "a", "ts": MONDAY}])
    house.put("metrics_5m", [
        {"server": "a", "ts": MONDAY + timedelta(minutes=5 * i), "mem_used_pct_mean": float(v)}
        for i, v in enumerate(history.values[0, :400, MEMORY])
    ])  # fmt: skip
    house.commit()
    code, out, err = run("--lake", data=house.folders.data)
    assert (code, err) == (0, "")
    assert "1 origins 8 h apart (there is no history for 14)" in out


def test_the_report_draws_what_was_found_and_asks_nobody(forecaster: Forecaster) -> None:
    history = fleet(2, days=3)
    history.values[..., 0] = np.nan
    found = backtest(history, forecaster, origins=2)
    text = page(found, served(forecaster), LoadedHistory(history, ("<colour>",), 1, ("a & b",)))
    assert "&lt;colour&gt;" in text
    assert "a &amp; b" in text
    assert not re.search(r"https?://|<script|@import|url\(", text)
    assert text.count('class="median"') == 6
    assert "cpu_user_pct" not in text
    assert text.count("<title>served: ") == 14  # 13 metrics and all together
    assert "nan" not in text
