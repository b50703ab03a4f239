from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from functions.replay.replay import rollups, server_facts
from functions.replay.trial import (
    RulesRefused,
    Trial,
    read_rules_on_trial,
    rule_in_force,
    try_rules,
)
from storage.config.folders import Folders
from storage.model.metrics import METRIC_NAMES, METRICS
from storage.model.schema import table
from storage.query.history import History
from storage.query.memory_lake import MemoryLake

START = datetime(2026, 5, 6, tzinfo=UTC)
STEPS = 168  # 14 hours
STOP = START + timedelta(minutes=5 * STEPS)
MEMORY = METRIC_NAMES.index("mem_used_pct")
RULES = """
[[rule]]
name = "memory soon"
metrics = ["mem_used_pct"]
odds = {"2h" = 0.4}

[[rule]]
name = "memory surely"
metrics = ["mem_used_pct"]
odds = {"2h" = 0.9}

[[rule]]
name = "for an hour"
metrics = ["mem_used_pct"]
servers = ["a"]
odds = {"2h" = 0.4}
breach = "1h"
"""


def odds_rows(server: str, steps: range, p: float) -> list[dict[str, Any]]:
    return [
        {"server": server, "metric": "mem_used_pct", "model": "m", "level": 98.0, "p_120m": p,
         "any_120m": p, "origin": "bands", "checked": True,
         "issued_at": START + timedelta(minutes=5 * step)}
        for step in steps
    ]  # fmt: skip


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> Iterator[MemoryLake]:
    """Memory of `a` breaches at step 50, odds having risen at step 30; those of `b` only rose."""
    values = np.full((2, STEPS, 14), np.nan, np.float32)
    values[:, :, MEMORY] = 50
    values[0, 50:60, MEMORY] = 99
    lake = MemoryLake(Folders.at(tmp_path_factory.mktemp("none")))
    lake.at(STOP)
    history = History(("a", "b"), np.array([6, 6]), int(START.timestamp()), values)
    lake.put("server_facts", server_facts(history, START, (4, 4)))
    lake.put("metrics_5m", rollups(history, range(STEPS)))
    rows = odds_rows("a", range(30, 52), 0.8) + odds_rows("b", range(30, 40), 0.8)
    rows += odds_rows("a", range(52, 80), 0.05) + odds_rows("b", range(40, 80), 0.05)
    lake.put("odds", pa.Table.from_pylist(rows, table("odds").arrow))
    yield lake
    lake.close()


@pytest.fixture(scope="module")
def trial(stored: MemoryLake, tmp_path_factory) -> Trial:
    path = tmp_path_factory.mktemp("alerts") / "mine.toml"
    path.write_text(RULES)
    return try_rules(read_rules_on_trial(path, METRICS), stored.reader, START, STOP)


def test_a_rule_is_judged_on_the_odds_and_values_that_are_stored(trial, stored) -> None:
    quality = trial.rules[0].quality
    assert (trial.servers, quality.right, quality.false, quality.withdrawn) == (2, 1, 1, 1)
    assert (quality.breaches, quality.missed) == (1, 0)
    assert quality.lead_median == pytest.approx(90, abs=6)  # step 30 to 50, less the time it held
    assert trial.rules[0].warnings_a_week == pytest.approx(2 * 12)
    assert stored.reader.query("SELECT 1 FROM alert_events").num_rows == 0  # it is only read


def test_stricter_odds_miss_the_breach(trial) -> None:
    quality = trial.rules[1].quality
    assert (quality.right, quality.false, quality.missed) == (0, 0, 1)


def test_a_rule_is_scored_by_its_own_breach_and_on_its_own_servers(trial) -> None:
    quality = trial.rules[2].quality  # memory is at its level for 50 minutes
    assert (quality.breaches, quality.right, quality.false) == (0, 0, 1)
    assert quality.host_days == pytest.approx((14 - 8) / 24)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[[rule]]\nname = 'x'\nmetrics = ['cpu']\n", "which no metric matches"),
        ("[[rule]", "correct the file"),
        ("[[no_data]]\nname = 'silence'\n", "it has no \\[\\[rule\\]\\]"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(tmp_path, text, reason) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(RulesRefused, match=reason):
        read_rules_on_trial(path, METRICS)


def test_a_missing_file_is_named(tmp_path) -> None:
    with pytest.raises(RulesRefused, match=r"no\.toml: cannot be read"):
        read_rules_on_trial(tmp_path / "no.toml", METRICS)


def test_a_rule_in_force_is_tried_by_its_name(tmp_path) -> None:
    alerts = Folders.at(tmp_path).alerts
    alerts.mkdir()
    (alerts / "mine.toml").write_text(RULES)
    assert [r.name for r in rule_in_force("breach", Folders.at(tmp_path)).rules] == ["breach"]
    assert rule_in_force("memory soon", Folders.at(tmp_path)).no_data == ()
    assert list(alerts.iterdir()) == [alerts / "mine.toml"]  # it is only read
