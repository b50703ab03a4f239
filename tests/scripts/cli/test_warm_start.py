from datetime import UTC, datetime
from typing import Any

import pyarrow.parquet as pq
import pytest

from functions.engine.forecaster import SHIPPED, Forecaster
from functions.replay.warm_start import Past
from scripts.cli.printer import say
from scripts.cli.training import training_lock
from scripts.cli.training_log import TrainingLog
from scripts.cli.warm_start import command, learn
from storage.config.folders import Folders
from storage.model.grid import CONTEXT_STEPS
from tests.conftest import NOW, LakeFixture
from tests.storage.small_fleets import fleet


def trainings(folders: Folders) -> list[dict[str, Any]]:
    paths = folders.inbox.glob("*trainings*.parquet")
    rows = [row for path in paths for row in pq.read_table(path).to_pylist()]
    return sorted(rows, key=lambda row: row["ts"])


def test_what_a_replay_learned_is_in_the_lake_and_serves(
    house: LakeFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    past = Past(fleet(servers=2, days=2).before(CONTEXT_STEPS + 15), (4, 4), {})
    learn(house.folders, past, TrainingLog(house.folders, "x-history"), say)
    events = [row["event"] for row in trainings(house.folders)]
    assert (events[0], events[-1]) == ("started", "learned")
    assert set(events[1:-1]) == {"progress"}
    assert house.commit(datetime.now(UTC)).rejected == ()
    assert house.one("SELECT count(*) FROM scores WHERE replayed") > 0
    assert house.one("SELECT any_value(model) FROM calibration") == Forecaster.open(SHIPPED).hash
    assert "learned from the history of 2 servers" in capsys.readouterr().out
    assert command(house.folders.data, None, say) == 0  # a second time there is nothing to do
    assert list(house.folders.inbox.glob("*.parquet")) == []


@pytest.mark.parametrize("training", [None, "x-history"])
def test_without_history_it_is_refused_and_a_warm_start_that_was_due_ends(
    house: LakeFixture, training: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(house.folders.data, training, say) == 2
    assert "the lake has no complete 5-minute step yet" in capsys.readouterr().err
    expected = ["failed"] if training else []
    assert [row["event"] for row in trainings(house.folders)] == expected


def test_two_at_once_are_refused(house: LakeFixture, capsys: pytest.CaptureFixture[str]) -> None:
    with training_lock(house.folders.create(), "warm-start"):
        assert command(house.folders.data, "x-history", say) == 2
    assert "another process does the warm-start of" in capsys.readouterr().err
    assert trainings(house.folders) == []


def test_a_warm_start_that_is_due_ends_where_the_lake_has_learned_before(
    house: LakeFixture,
) -> None:
    house.put("odds_models", [{"ts": NOW, "kind": "paths", "metric_group": "all",
                               "lead_minutes": 0}])  # fmt: skip
    house.commit()
    assert command(house.folders.data, "x-history", say) == 0
    assert [row["event"] for row in trainings(house.folders)] == ["learned"]
