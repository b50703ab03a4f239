import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from functions.replay.replay import rollups, server_facts
from scripts.cli.alert_import import ImportOptions, command
from scripts.cli.printer import say
from storage.model.grid import HORIZON_STEPS, QUANTILE_COLUMNS
from storage.model.metrics import METRIC_NAMES
from storage.query.history import History
from tests.conftest import LakeFixture

START = datetime(2026, 5, 5, tzinfo=UTC)
STEPS = 300
END = START + timedelta(minutes=5 * STEPS)
MEMORY = METRIC_NAMES.index("mem_used_pct")
RULES = """
groups:
- name: node
  rules:
  - alert: MemoryHigh
    expr: node_memory_MemAvailable_bytes{job="node"} / node_memory_MemTotal_bytes < 0.1
    for: 10m
  - alert: RedisDown
    expr: redis_up == 0
"""


def filled(house: LakeFixture) -> Path:
    """A lake in which memory of web1 has breached, and is forecast to be at 95 % from now on."""
    values = np.full((2, STEPS, 14), np.nan, np.float32)
    values[:, :, MEMORY] = 50
    values[0, 100:140, MEMORY] = np.linspace(80, 99, 40)
    history = History(("web1", "web2"), np.array([6, 6]), int(START.timestamp()), values)
    house.put("server_facts", server_facts(history, START, (4, 4)), created_at=START)
    house.put("metrics_5m", rollups(history, range(STEPS)), created_at=END)
    paths = {name: [95.0] * HORIZON_STEPS for name in QUANTILE_COLUMNS}
    row = {"server": "web1", "metric": "mem_used_pct", "issued_at": END, "made_at": END,
           "state": "ok", "context_steps": 288}  # fmt: skip
    house.put("forecasts", [row | paths], created_at=END)
    house.commit(END)
    return house.folders.data


def test_rules_are_replayed_and_those_that_are_not_are_named(
    house: LakeFixture, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules, numbers = tmp_path / "rules.yml", tmp_path / "numbers.json"
    rules.write_text(RULES)
    options = ImportOptions(filled(house), rules, json_file=numbers)
    assert command(options, say) == 0
    out = capsys.readouterr().out
    assert "1 of 2 rules replayed on 2 servers, 2026-05-05 00:00:00Z to 2026-05-06 01:00:00Z" in out
    assert "fired 1 times (6.7 a week) on 1 servers" in out
    assert "1 right, 0 wrong, 0 of 1 breaches missed; lead median 65 min" in out
    assert "within 8 h: web1 100% (about 01:15 UTC)" in out
    assert "note: the label job is not kept: all servers are replayed" in out
    assert "RedisDown: redis_up is not one of our metrics" in out
    memory, redis = json.loads(numbers.read_text())
    assert (memory["tonight"][0]["odds"], redis["reason"][:8]) == (1.0, "redis_up")


@pytest.mark.parametrize(
    ("text", "says"), [("groups: 5", "rules.yml: not a file of"), (RULES, "no lake")]
)
def test_what_cannot_be_used_is_exit_code_2(tmp_path, capsys, text, says) -> None:
    rules = tmp_path / "rules.yml"
    rules.write_text(text)
    assert command(ImportOptions(tmp_path / "none", rules), say) == 2
    assert says in capsys.readouterr().err
