import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from functions.replay.replay import rollups, server_facts
from scripts.cli.alert_trial import TrialOptions, command
from scripts.cli.printer import say
from storage.model.metrics import METRIC_NAMES
from storage.query.history import History
from tests.conftest import LakeFixture

START = datetime(2026, 5, 5, tzinfo=UTC)
STEPS = 150
END = START + timedelta(minutes=5 * STEPS)
RULE = '[[rule]]\nname = "memory"\nmetrics = ["mem_used_pct"]\nodds = {"2h" = 0.4}\n'


def filled(house: LakeFixture) -> Path:
    """A lake in which memory of web1 breaches an hour after its odds have risen."""
    values = np.full((1, STEPS, 14), np.nan, np.float32)
    values[:, :, METRIC_NAMES.index("mem_used_pct")] = 50
    values[0, 40:44, METRIC_NAMES.index("mem_used_pct")] = 99
    history = History(("web1",), np.array([6]), int(START.timestamp()), values)
    house.put("server_facts", server_facts(history, START, (4,)), created_at=START)
    house.put("metrics_5m", rollups(history, range(STEPS)), created_at=END)
    odds = [
        {"server": "web1", "metric": "mem_used_pct", "checked": True, "origin": "bands",
         "p_120m": 0.9 if step < 44 else 0.0, "issued_at": START + timedelta(minutes=5 * step)}
        for step in range(28, 60)
    ]  # fmt: skip
    house.put("odds", odds, created_at=END)
    house.commit(END)
    return house.folders.data


def test_a_rule_is_tried_before_it_is_saved(
    house: LakeFixture, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rule, numbers = tmp_path / "mine.toml", tmp_path / "numbers.json"
    rule.write_text(RULE)
    assert command(TrialOptions(filled(house), str(rule), json_file=numbers), say) == 0
    out = capsys.readouterr().out
    assert "1 rules tried on 32 odds of 1 servers, 2026-05-05 00:00:00Z to" in out
    assert "1 right, 0 wrong (0 of them withdrawn), 0 averted; 0 of 1 breaches missed" in out
    assert "precision 100%" in out
    assert "0.000 false alarms per host-day" in out
    (result,) = json.loads(numbers.read_text())["rules"]
    assert 45 <= result["lead_median"] <= 60


@pytest.mark.parametrize(
    ("text", "says"), [("[[rule]]\nname = ''", "mine.toml: rule"), (RULE, "no lake")]
)
def test_what_cannot_be_used_is_exit_code_2(tmp_path, capsys, text, says) -> None:
    rule = tmp_path / "mine.toml"
    rule.write_text(text)
    assert command(TrialOptions(tmp_path / "none", str(rule)), say) == 2
    assert says in capsys.readouterr().err


def test_a_rule_that_is_nowhere_is_refused_with_those_that_are(tmp_path, capsys) -> None:
    assert command(TrialOptions(tmp_path / "none", "breech"), say) == 2
    assert "'breech' is neither a file nor a rule in force" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
