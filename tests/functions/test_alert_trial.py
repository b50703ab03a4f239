from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from functions.alert_trial import alert_trial
from functions.engine.function import Batch
from functions.engine.window import Window
from functions.replay.replay import rollups, server_facts
from storage.config.folders import Folders
from storage.model.grid import floor_step
from storage.model.metrics import METRIC_NAMES
from storage.query.history import History
from storage.query.memory_lake import MemoryLake
from tests.conftest import NOW

STEPS, START = 24, floor_step(NOW)
RULE = "[[rule]]\nname = 'mine'\nmetrics = ['mem_used_pct']\nenabled = false\n"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemoryLake]:
    """Two hours of one server on which nothing happens."""
    lake = MemoryLake(Folders.at(tmp_path_factory.mktemp("var")))
    values = np.full((1, STEPS, 14), np.nan, np.float32)
    values[:, :, METRIC_NAMES.index("mem_used_pct")] = 40.0
    history = History(("a",), np.array([6]), int(START.timestamp()), values)
    lake.put("server_facts", server_facts(history, START, (4,)))
    lake.put("metrics_5m", rollups(history, range(STEPS)))
    yield lake
    lake.close()


def tried(lake: MemoryLake, body: Any) -> Batch:
    batch: Batch = alert_trial.call(window=Window(lake.reader, NOW), body=body)
    return batch


@pytest.mark.parametrize("body", [{"rule": "breach"}, {"toml": RULE, "days": 2}])
def test_a_rule_is_tried_by_its_name_or_its_text(lake: MemoryLake, body: dict[str, Any]) -> None:
    answer = tried(lake, body).answer
    (rule,) = answer["rules"]
    assert rule["name"] == ("mine" if "toml" in body else "breach")
    assert (answer["servers"], rule["right"], rule["missed"]) == (1, 0, 0)
    assert rule["lead_median"] is None


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (None, "expected one of rule"),
        ({"rule": "breach", "toml": RULE}, "expected one of rule"),
        ({"rule": "gone"}, "'gone' is neither a file nor a rule in force"),
        ({"toml": "[[rule]"}, "correct the file"),
        ({"rule": "breach", "days": 90}, "days is 90, expected 1 to 30"),
        ({"rule": "breach", "day": 9}, "day is not a key"),
    ],
)
def test_what_cannot_be_tried_is_refused_in_words(lake: MemoryLake, body: Any, reason: str) -> None:
    batch = tried(lake, body)
    assert (batch.refused, batch.answer) == (1, None)
    assert reason in batch.reasons[0]


def test_without_history_it_says_what_is_missing(tmp_path: Path) -> None:
    empty = MemoryLake(Folders.at(tmp_path))
    assert "no complete 5-minute step yet" in tried(empty, {"rule": "breach"}).reasons[0]
    empty.close()
