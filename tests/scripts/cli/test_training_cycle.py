"""The whole cycle on a small model: drift, training, promotion without a restart, roll-back."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from functions.engine.forecaster import Forecaster
from functions.engine.function import Function
from functions.engine.run_history import LocalRunHistory, RunHistoryEndpoint
from functions.engine.runner import Runner
from functions.forecast import forecast
from functions.trainer.trainer_loop import due_training
from functions.training import training
from model_export import fine_tuning, parity_check
from model_export.export import export
from model_export.train import Checkpoint, Recipe, save_checkpoint
from scripts.cli import model_list
from scripts.cli.training import TrainingOptions, command
from storage import model_registry
from storage.config.folders import Folders
from storage.config.settings import Settings
from storage.ipc.rpc import serve_rpc
from storage.model.grid import STEP, floor_step
from storage.model.metrics import METRIC_NAMES
from storage.query.shared_reader import SharedReader
from tests.conftest import LakeFixture
from tests.model_export.small_networks import small_network

NOW = datetime.now(UTC)
LAST = floor_step(NOW) - 5 * STEP
SERVERS, STEPS = 6, 2 * 288


def put_history(house: LakeFixture) -> None:
    """Two days of noise around a level of each series: yesterday's value says little."""
    random = np.random.default_rng(0)
    level = random.uniform(20, 60, (SERVERS, 1, len(METRIC_NAMES)))
    values = level + 3 * random.normal(size=(SERVERS, STEPS, len(METRIC_NAMES)))
    values[..., -1] = 3 + np.arange(STEPS) / 288  # the uptime: it never rebooted
    house.put("metrics_5m", [
        {"server": f"s{i}", "ts": LAST - (STEPS - 1 - t) * STEP}
        | {f"{name}_mean": values[i, t, m] for m, name in enumerate(METRIC_NAMES)}
        for i in range(SERVERS) for t in range(STEPS)
    ])  # fmt: skip
    house.put("server_facts", [
        {"server": f"s{i}", "ts": LAST - timedelta(days=3), "profile": "generic"}
        for i in range(SERVERS)
    ])  # fmt: skip


def put_drift(house: LakeFixture) -> None:
    house.put("drift", [
        {"scope": "fleet", "name": "fleet", "ts": NOW - n * timedelta(hours=1), "drifting": True}
        for n in range(72)
    ])  # fmt: skip


def serve_small_model(folders: Folders) -> str:
    """Let an untrained network serve, with the weights from which training goes on."""
    checkpoint = Checkpoint(small_network(), 100, 0.5, (), 0)
    save_checkpoint(checkpoint, folders.models / "small.pt")
    export(checkpoint, folders.models / "small.onnx", NOW, {}, "test")
    model_registry.promote(folders, "small")
    return str(model_registry.fingerprint(folders.models / "small.onnx"))


class Engine:
    """The engine of a lake, which is never restarted."""

    def __init__(self, house: LakeFixture) -> None:
        self.house = house
        self.runner = Runner(house.folders, Settings())

    def run(self, function: Function) -> None:
        now = datetime.now(UTC)
        run = self.runner.run(function, "test", now)
        assert run.error is None, run.error
        self.runner.flush()
        self.house.commit(now)

    def forecast(self, step: int) -> str:
        """Forecast from a new step; return the model that did."""
        ts = LAST + step * STEP
        self.house.put("metrics_5m", [{"server": "s0", "ts": ts, "cpu_user_pct_mean": 30.0}])
        self.house.commit(NOW)
        self.run(forecast)
        sql = "SELECT arg_max(model, issued_at) FROM forecasts WHERE model IS NOT NULL"
        return str(self.house.one(sql))


def events(house: LakeFixture) -> list[dict[str, Any]]:
    house.commit(NOW)
    rows = house.reader.query("SELECT * FROM trainings ORDER BY ts").to_pylist()
    return [row for row in rows if row["event"] != "progress"]


def test_drift_leads_to_a_training_a_promotion_and_back(
    house: LakeFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parity_check, "BATCHES", (1,))
    monkeypatch.setattr(fine_tuning, "FINE_TUNING", Recipe(batch=16, rate=1e-2, average=0.5))
    put_history(house)
    put_drift(house)
    house.commit(NOW)
    first, engine = serve_small_model(house.folders), Engine(house)
    assert engine.forecast(1) == first

    engine.run(training)
    history = LocalRunHistory(SharedReader(house.folders.data))
    with serve_rpc(house.folders.history, RunHistoryEndpoint(history).answer):
        due = due_training(house.folders)
    assert due is not None
    assert due.event == "due"
    said: list[str] = []
    options = TrainingOptions(house.folders.data, steps=12, training=due.training)
    assert command(options, said.append), "\n".join(said)

    made = events(house)
    assert [row["event"] for row in made] == ["due", "started", "promoted"]
    assert {row["training"] for row in made} == {due.training}
    verdict = json.loads(made[-1]["verdict"])
    assert verdict["promote"]
    assert len(verdict["jump"]) == 2
    name = model_registry.names(house.folders)[-1]
    learned = Forecaster.open(model_registry.path_of(house.folders, name)).card["training"]
    assert learned["windows_seen"] == 100 + 12 * 16  # those of before, and of the steps kept
    assert learned["epochs"] > 0.5
    second = engine.forecast(2)
    assert second == made[-1]["model"] != first
    model_list.roll_back(house.folders.data, said.append)
    assert engine.forecast(3) == first
    served = house.reader.query("SELECT model, why FROM model_history ORDER BY live_from")
    assert served["model"].to_pylist() == [first, second, first]
    assert served["why"][1].as_py().startswith("promoted: better than the serving model")
    assert served["why"][2].as_py() == "rolled back: by a person"
