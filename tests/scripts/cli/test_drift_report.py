from datetime import UTC, datetime, timedelta

import pytest

from scripts.cli.drift_report import request_training, show_drift
from tests.conftest import LakeFixture

NOW = datetime.now(UTC)
CHECKED = NOW.replace(minute=0, second=0, microsecond=0)


def test_a_new_lake_says_what_it_waits_for(
    house: LakeFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    show_drift(house.folders.data, print)
    said = capsys.readouterr().out
    assert "No check yet: the first comes with the first hour of scores." in said
    assert "hoursight train --request" in said
    request_training(house.folders.data, print)
    house.commit(NOW)
    show_drift(house.folders.data, print)
    assert "requested by the command" in capsys.readouterr().out


def test_the_newest_check_and_training_are_shown_with_their_reasons(
    house: LakeFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    measures = {"prediction_error": 0.04, "distribution_shift": 0.41}
    house.put("drift", [
        {"scope": "fleet", "name": "fleet", "ts": CHECKED - timedelta(hours=1), "why": "older"},
        {"scope": "fleet", "name": "fleet", "ts": CHECKED, "drifting": True, "over_limit": 4,
         "why": "forecasts lose 90 % more than in the reference week"} | measures,
        {"scope": "server", "name": "web3", "ts": CHECKED, "drifting": True,
         "why": "cpu_user_pct has other values"},
        {"scope": "server", "name": "web4", "ts": CHECKED, "drifting": False},
    ])  # fmt: skip
    house.put("trainings", [
        {"training": "t1", "ts": CHECKED, "event": "progress", "progress": 0.3},
    ])  # fmt: skip
    house.commit(NOW)
    show_drift(house.folders.data, print)
    said = capsys.readouterr().out
    assert "Drift at " in said
    assert "forecasts lose 90 % more" in said
    assert "4 checks in a row" in said
    assert "(DSS)      0.410  (limit 0.2)" in said
    assert "not known" in said
    assert "web3" in said
    assert "web4" not in said
    assert "progress, 30%" in said
