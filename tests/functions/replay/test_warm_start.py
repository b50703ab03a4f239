from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from functions.engine.forecaster import SHIPPED, Forecaster
from functions.replay.replay import rollups
from functions.replay.warm_start import (
    MOST_SERVERS,
    AlreadyLearned,
    Past,
    WarmStartRefused,
    check,
    learned,
    read_past,
    sample,
)
from storage.config.folders import Folders
from storage.model.grid import CONTEXT_STEPS
from storage.query.history import History
from tests.conftest import LakeFixture
from tests.storage.small_fleets import fleet

HISTORY = fleet(servers=2, days=2).before(CONTEXT_STEPS + 27)
END = HISTORY.span[1]
LIVE = END - timedelta(minutes=30)


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, pa.Table]]:
    past = Past(HISTORY, (4, 4), {"odds": LIVE})
    folders = Folders.at(tmp_path_factory.mktemp("learned")).create()
    yield learned(past, Forecaster.open(SHIPPED), folders)
    assert list(folders.inbox.iterdir()) == []


def test_scores_and_odds_of_a_replay_are_marked_and_its_forecasts_are_not_kept(
    tables: dict[str, pa.Table],
) -> None:
    assert list(tables) == ["calibration", "race", "scores", "fleet_odds", "odds", "odds_models"]
    for name in ("scores", "fleet_odds", "odds"):
        assert tables[name].num_rows, name
        assert set(tables[name]["replayed"].to_pylist()) == {True}


def test_only_the_state_at_the_end_is_kept(tables: dict[str, pa.Table]) -> None:
    for name in ("calibration", "race"):
        assert len(set(tables[name]["ts"].to_pylist())) == 1
    assert tables["calibration"]["ts"][0].as_py() == max(tables["scores"]["ts"].to_pylist()) + (
        timedelta(hours=1)
    )


def test_rows_stop_where_the_live_ones_begin(tables: dict[str, pa.Table]) -> None:
    newest: datetime = max(tables["odds"]["issued_at"].to_pylist())
    assert LIVE - timedelta(minutes=15) <= newest < LIVE


def test_a_replay_that_is_cut_off_leaves_nothing(tmp_path: Path) -> None:
    folders = Folders.at(tmp_path).create()

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learned(Past(HISTORY, (4, 4), {}), Forecaster.open(SHIPPED), folders, stop)
    assert list(folders.inbox.iterdir()) == []


def test_a_model_of_its_own_is_refused_with_the_reason(house: LakeFixture) -> None:
    check(house.reader)
    house.folders.models.mkdir(exist_ok=True)
    (house.folders.models / "serving.onnx").touch()
    with pytest.raises(WarmStartRefused, match=r"trained on this history.*models promote shipped"):
        check(house.reader)


def test_a_lake_whose_odds_were_fitted_has_nothing_to_learn(house: LakeFixture) -> None:
    row = {"ts": END, "kind": "calibration", "metric_group": "all", "lead_minutes": 60}
    house.put("odds_models", [row])
    house.commit()
    with pytest.raises(AlreadyLearned):
        check(house.reader)


def test_a_short_history_is_refused(house: LakeFixture) -> None:
    house.put("metrics_5m", rollups(HISTORY, range(HISTORY.steps)), created_at=END)
    house.commit(END)
    with pytest.raises(WarmStartRefused, match=r"1\.1 days of history .* takes 3 days"):
        read_past(house.reader)


def test_of_a_large_fleet_servers_of_all_profiles_are_replayed() -> None:
    history = fleet(servers=3 * MOST_SERVERS, days=1)
    history.profiles[::30] = 1
    part: History = sample(history)
    assert len(part.servers) == len(set(part.servers)) == MOST_SERVERS
    assert list(part.servers) == sorted(part.servers)
    assert 0 < (part.profiles == 1).sum() < 4
