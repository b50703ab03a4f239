import json
from pathlib import Path

import pytest

from functions.engine.forecaster import SHIPPED, Forecaster
from scripts.cli.loop_backtest import LoopOptions, loop_backtest
from scripts.cli.printer import say
from storage.query.history import HistoryError
from tests.storage.small_fleets import fleet


def test_a_history_is_played_through_the_loop_and_scored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers = tmp_path / "numbers.json"
    options = LoopOptions(cadence_minutes=480, json_file=numbers)
    history = fleet(servers=2, days=2)
    assert loop_backtest(history, Forecaster.open(SHIPPED), tmp_path / "none", options, say) == 0
    out = capsys.readouterr().out
    assert "replayed 2 servers, 2026-01-05 00:00:00Z to 2026-01-07 00:00:00Z: 288 steps" in out
    assert "Share inside the bands" in out
    reported = json.loads(numbers.read_text())
    assert reported["accuracy"][-1]["metric"] is None
    assert 0 < reported["accuracy"][-1]["loss"] < 1
    assert reported["warnings"]["host_days"] == pytest.approx(2 * (24 - 8) / 24)
    assert not (tmp_path / "none").exists()


def test_a_history_that_is_too_short_is_refused(tmp_path: Path) -> None:
    history = fleet(servers=1, days=1)
    with pytest.raises(HistoryError, match=r"has 24\.0 hours: --loop needs 48"):
        loop_backtest(history, Forecaster.open(SHIPPED), tmp_path, LoopOptions(), say)
