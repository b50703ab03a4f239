import argparse
import json
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from functions.replay.outcomes import (
    LEVELLED,
    level_breaches,
    levels_of,
    signed,
    warnings_of_states,
)
from functions.replay.simulated import simulated_history
from functions.rules.evaluation.straight_lines import PEERS
from scripts.tools.early_warning import (
    START,
    TestSet,
    at_levels,
    breaches_of,
    judged,
    labels_of,
    odds_rules,
    print_table,
    warnings_of,
)
from storage.config.folders import Folders
from storage.model.grid import STEP
from storage.model.metrics import METRIC_NAMES
from storage.model.schema import table
from storage.query.history import History
from storage.query.memory_lake import MemoryLake
from tests.storage.small_fleets import fleet


@pytest.fixture(scope="module")
def degrading() -> TestSet:
    made = simulated_history("degrading", servers=4, days=2, seed=7, start=START)
    return TestSet("degrading", made.history, made.cores, made.causes)


@pytest.fixture
def lake(tmp_path) -> Iterator[MemoryLake]:
    lake = MemoryLake(Folders.at(tmp_path))
    yield lake
    lake.close()


def test_the_rules_of_today_are_judged_against_the_same_breaches(
    degrading: TestSet, capsys: pytest.CaptureFixture[str]
) -> None:
    options = argparse.Namespace(warm_up_days=1.0, peers_only=True)
    kinds = warnings_of(degrading, None, options)
    qualities = judged(degrading, kinds, breaches_of(degrading), options)
    assert tuple(qualities) == PEERS
    assert len({quality.breaches + quality.recurring for quality in qualities.values()}) == 1
    now, _, hour, *_ = qualities.values()
    assert now.recall[30] == 0.0 < hour.recall[30]
    assert 0 < hour.possible_median < 480
    print_table("a set", degrading, qualities)
    assert "predict_linear[1h], 4 h ahead" in capsys.readouterr().out
    json.dumps([quality.as_json() for quality in qualities.values()], allow_nan=False)


def test_a_dataset_without_levels_is_scaled_so_that_a_few_steps_are_critical() -> None:
    scaled = at_levels(fleet(servers=2, days=4))
    reached = signed(scaled) >= levels_of(scaled, None)[1][..., None]
    assert 0.005 < reached.mean() < 0.03
    assert np.nanmin(scaled.values[:, :, list(LEVELLED)]) >= 0
    assert len(level_breaches(scaled, levels_of(scaled, None)[1]).started) > 2


def test_a_fixed_rule_warns_while_the_odds_hold(lake: MemoryLake) -> None:
    memory = METRIC_NAMES.index("mem_used_pct")
    history = History(("a",), np.array([6]), 0, np.full((1, 40, 14), 50.0, np.float32))
    rows = [
        {"server": "a", "metric": "mem_used_pct", "p_60m": 0.25 if 10 <= step < 20 else 0.01,
         "p_120m": 0.0, "issued_at": history.span[0] + step * STEP}
        for step in range(1, 41)
    ]  # fmt: skip
    lake.put("odds", pa.Table.from_pylist(rows, table("odds").arrow))
    kinds = odds_rules(lake, history)
    first = kinds["odds P(1h) ≥ 0.2 or P(2h) ≥ 0.3, 2 of 3"]
    assert first.metrics.tolist() == [memory]
    assert first.opened.tolist() == [55.0]  # the second issue of a quarter
    assert first.closed.tolist() == [125.0]  # after half an hour under half of it
    assert not len(kinds["odds P(1h) ≥ 0.5 or P(2h) ≥ 0.6, 2 of 3"].opened)


def test_odds_of_a_slower_cadence_stand_until_the_next(lake: MemoryLake) -> None:
    history = History(("a",), np.array([6]), 0, np.full((1, 60, 14), 50.0, np.float32))
    rows = [
        {"server": "a", "metric": "mem_used_pct", "p_60m": 0.25 if 12 <= step < 30 else 0.01,
         "p_120m": 0.0, "issued_at": history.span[0] + step * STEP}
        for step in range(3, 61, 3)
    ]  # fmt: skip
    lake.put("odds", pa.Table.from_pylist(rows, table("odds").arrow))
    kinds = odds_rules(lake, history)
    assert kinds["odds P(1h) ≥ 0.2 or P(2h) ≥ 0.3, 2 of 3"].opened.tolist() == [65.0]
    assert kinds["odds P(1h) ≥ 0.2 or P(2h) ≥ 0.3, 6 of 8"].opened.tolist() == [85.0]


def test_labels_are_of_a_whole_server(degrading: TestSet) -> None:
    marks = np.zeros((4, degrading.history.steps), bool)
    marks[2, 300:310] = True
    labels = labels_of(replace(degrading.history, anomalous=marks))
    assert (labels.servers.tolist(), labels.metrics.tolist()) == ([2], [0])
    options = argparse.Namespace(warm_up_days=1.0, peers_only=True)
    open_then = warnings_of_states(np.repeat(marks, 8, axis=0) | (np.arange(576) > 290), LEVELLED)
    quality = judged(degrading, {"all": open_then}, labels, options, whole_server=True)["all"]
    assert (quality.breaches, quality.missed, quality.lead_median) == (1, 0, 40.0)
