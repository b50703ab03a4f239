import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from functions.engine.forecaster import Forecaster
from model_export import fine_tuning, parity_check
from scripts.cli import model_list, training
from scripts.cli.training import TrainingOptions, TrainingUnable, command
from storage import model_registry
from storage.config.folders import Folders
from storage.inbox.segment import provenance_of
from storage.model.grid import STEP, floor_step
from storage.model.metrics import METRIC_NAMES
from storage.query.history import History
from tests.conftest import LakeFixture
from tests.model_export.small_networks import fleet

NOW = floor_step(datetime.now(UTC)) - 3 * timedelta(days=1)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two days of six servers."""
    return written(fleet(servers=6, days=2), tmp_path_factory.mktemp("history"))


def written(history: History, folder: Path) -> Path:
    seconds = history.start_s + np.arange(history.steps) * 300
    count = len(history.servers)
    columns = {
        "ts": pa.array(np.tile(seconds, count), pa.timestamp("s", tz="UTC")),
        "server": np.repeat(history.servers, history.steps),
        **{name: history.values[..., i].ravel() for i, name in enumerate(METRIC_NAMES)},
    }
    pq.write_table(pa.table(columns), folder / "history.parquet")
    return folder / "history.parquet"


@pytest.fixture
def options(tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> TrainingOptions:
    monkeypatch.setattr(parity_check, "BATCHES", (1,))
    return TrainingOptions(tmp_path, (file,), steps=3)


def test_training_makes_a_candidate_with_its_comparison_in_the_card(
    options: TrainingOptions, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    better = iter([1.0, 1.0, 0.9, *[2.0] * 9])  # what was learned is taken for better than before
    monkeypatch.setattr(fine_tuning, "_validation_loss", lambda _: lambda _: next(better))
    said: list[str] = []
    command(options, said.append)
    folders = Folders.at(options.data)
    (name,) = model_registry.names(folders)
    card = Forecaster.open(model_registry.path_of(folders, name)).card
    shipped = Forecaster.open().card["training"]
    assert card["training"]["windows_seen"] == shipped["windows_seen"] + 3 * 64
    assert card["scores"]["gate"]["all metrics"][3] == 6 * 14
    events = [provenance_of(path).table for path in folders.inbox.glob("*.parquet")]
    assert set(events) == {"models", "trainings"}
    assert events.count("models") == 1 + card["scores"]["gate"]["promote"]
    rows = [pq.read_table(path).to_pylist()[0] for path in folders.inbox.glob("*trainings*")]
    ended = next(row for row in rows if row["event"] in ("promoted", "refused"))
    assert {row["cause"] for row in rows if row["event"] == "started"} == {"command"}
    assert ended["model"] == model_registry.fingerprint(folders.models / f"{name}.onnx")
    assert json.loads(ended["verdict"])["windows"] == 6
    assert not (folders.models / "training.progress").exists()
    model_list.promote(options.data, name, said.append)
    model_list.show_models(options.data)
    listed = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "serving" in listed[name]
    assert "serving" not in listed["shipped"].split()
    target = options.data / "again.onnx"
    training.export_command(options.data, "serving", target, said.append)
    assert Forecaster.open(target).card["weights_sha256"] == card["weights_sha256"]


def test_a_training_that_was_cut_off_is_resumed(options: TrainingOptions) -> None:
    def interrupted(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        command(options, interrupted)
    said: list[str] = []
    history = training._history(Folders.at(options.data), options, said.append)
    assert said == ["Resuming the training that was cut off (--fresh starts anew)."]
    assert history.span[1] == datetime(2026, 1, 7, tzinfo=UTC)
    training._history(
        Folders.at(options.data), TrainingOptions(options.data, options.files), said.append
    )
    assert len(said) == 1  # another training was asked for


def test_a_resumed_training_uses_the_same_days_although_there_are_more_by_now(
    house: LakeFixture,
) -> None:
    def put(first: int, end: int) -> None:
        house.put("metrics_5m", [
            {"server": "a", "ts": NOW + i * STEP, "cpu_idle_pct_mean": float(i)}
            for i in range(first, end)
        ])  # fmt: skip
        house.commit()

    options = TrainingOptions(house.folders.data, days=1.0)
    house.put("server_facts", [{"server": "a", "ts": NOW}])
    put(0, 400)
    before = training._history(house.folders, options, lambda _: None)
    put(400, 450)
    after = training._history(house.folders, options, lambda _: None)
    np.testing.assert_array_equal(before.values, after.values)
    assert (before.steps, before.span) == (288, after.span)


def test_one_training_at_a_time(options: TrainingOptions) -> None:
    folders = Folders.at(options.data).create()
    with training.training_lock(folders), pytest.raises(TrainingUnable, match="wait for it"):
        command(options, lambda _: None)


def test_without_torch_the_error_names_the_remedy(
    options: TrainingOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lightning", None)
    with pytest.raises(TrainingUnable, match=r"pip install 'hoursight\[train\]'"):
        command(options, lambda _: None)


def test_a_model_without_weights_cannot_be_trained_further(options: TrainingOptions) -> None:
    folders = Folders.at(options.data).create()
    (folders.models / "serving.onnx").write_bytes(Forecaster.open().path.read_bytes())
    with pytest.raises(TrainingUnable, match="--from shipped"):
        command(options, lambda _: None)
