from pathlib import Path

import pytest

from scripts.tools.bench import score_cycle


def test_the_newest_hour_of_each_server_and_metric_is_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score_cycle, "ISSUES", 2)
    measured = score_cycle.measure(tmp_path, 2, merged=True)
    assert measured["rows"] == 2 * 14
    assert measured["cpu_s"] > 0
