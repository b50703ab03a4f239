import json
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

import hoursight
from functions.engine.forecaster import SHIPPED
from tests.conftest import LakeFixture
from tests.scripts.cli.histories import MEMORY, MONDAY, walk_file, waves
from tests.storage.small_fleets import fleet

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs `hoursight backtest` on a data folder that is not there; gives code, output, errors."""

    def call(*arguments: object, data: Path = tmp_path / "none") -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as leave:
            hoursight.main(["backtest", "--data", str(data), *map(str, arguments)])
        return (int(leave.value.code or 0), *capsys.readouterr())

    return call


def test_the_command_tells_metric_by_metric_and_lead_by_lead(run: Run, tmp_path: Path) -> None:
    file, out_file = waves(tmp_path / "h.parquet"), tmp_path / "o.json"
    code, out, _ = run(file, "--origins", 4, "--json", out_file)
    assert code == 0
    assert "columns ignored, not metrics: colour" in out
    assert re.search(r"2 servers, 2026-01-05 04:00:00Z to 2026-01-07 12:00:00Z: 4 origins", out)
    lines = [line.split()[0] for line in out.splitlines() if re.search(r"\d\.\d{3} ", line)]
    assert lines == ["mem_used_pct", "1", "2", "4", "8", "all", "all", "1", "2", "4", "8", "all",
                     "The"]  # fmt: skip
    reported = json.loads(out_file.read_text())
    assert reported["loses_to_naive"] is False
    assert len(reported["scores"]) == 2 * 6 * 5  # memory and all, leads and all, forecasts
    assert reported["targets"] == {"scored": 2 * 4 * 96, "abstained": 0}
    whole = [s for s in reported["scores"] if s["metric"] is None and s["lead_minutes"] is None]
    assert {s["forecast"] for s in whole if s["loss"] == 1} == {"seasonal naive"}


def test_losing_to_naive_is_exit_code_1(run: Run, tmp_path: Path) -> None:
    code, out, _ = run(walk_file(tmp_path / "walk.parquet"))
    assert code == 1
    assert "The served forecast loses to a naive one: loss" in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "name files, or --lake"),
        (["FILE", "--lake"], "one of both"),
        (["FILE", "--servers", "db*"], "'db*' matches no server (there are app000, app001"),
        (["FILE", "--model", "FILE"], "truncated or not an ONNX model"),
        (["FILE", "--html", "no/such/folder/r.html"], "no/such/folder; make it"),
        (["--lake"], "start one with 'hoursight demo'"),
        (["FILE", "--origins", "0"], "0 is not in the range"),
        (["FILE", "--loop"], "33.6 hours: --loop needs 48"),
        (["FILE", "--loop", "--html", "r.html"], "--loop writes no report"),
        (["FILE", "--loop", "--cadence", "7"], "'7' is not one of"),
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
    assert "1 origins 8 h apart (the history is too short for 14)" in out
    code, _, err = run("--lake", "--loop", data=house.folders.data)
    assert (code, "33.3 hours: --loop needs 48" in err) == (2, True)
