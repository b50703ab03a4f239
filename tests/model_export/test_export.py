from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
import pytest

from model_export import export as exporting
from model_export import parity_check
from model_export.card import read_card
from model_export.export import export, export_graph
from model_export.parity_check import PARITY_SIGMA, ParityError, awkward_windows, onnx_forecast
from model_export.train import Checkpoint
from storage.model.model_seal import is_intact, sealed
from tests.model_export.small_networks import small_network

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
CHECKPOINT = Checkpoint(small_network(), 640, 0.5, ({"name": "waves"},), 3)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "small.onnx"
    export(CHECKPOINT, path, NOW, {"waves": {"model": [0.7]}}, "a command")
    return path


def test_the_card_in_the_file_has_the_measured_parity_the_scores_and_the_command(
    model: Path,
) -> None:
    card = read_card(model)
    assert set(card["parity_sigma"]) == {"1", "7", "64", "513"}
    assert max(card["parity_sigma"].values()) <= PARITY_SIGMA
    assert (card["scores"], card["command"]) == ({"waves": {"model": [0.7]}}, "a command")
    assert card["fixture"]["context"]["shape"] == [6, 288, 14]


def test_the_file_ends_with_the_hash_of_its_content(model: Path) -> None:
    content = bytearray(model.read_bytes())
    assert sealed(bytes(content)) == content
    content[len(content) // 3] ^= 4
    assert not is_intact(bytes(content))


def test_one_clock_serves_the_whole_batch(model: Path) -> None:
    windows = awkward_windows(5, 2)
    clock = np.full(1, 777, np.float32)
    forecast = onnx_forecast(model)
    shared = forecast(windows.context, clock, windows.profile)
    each = forecast(windows.context, clock.repeat(5), windows.profile)
    np.testing.assert_allclose(shared, each, rtol=1e-5, atol=1e-5)


def test_a_file_that_is_too_large_leaves_the_old_one(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = model.read_bytes()
    monkeypatch.setattr(parity_check, "BATCHES", (1,))
    monkeypatch.setattr(exporting, "LARGEST_BYTES", 1000)
    with pytest.raises(ValueError, match="expected at most 1000"):
        export(replace(CHECKPOINT, seed=4), model, NOW)
    assert model.read_bytes() == before
    assert [p.name for p in model.parent.iterdir()] == ["small.onnx"]


def test_a_graph_that_differs_from_torch_is_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parity_check, "BATCHES", (1,))
    other = small_network(seed=1)
    monkeypatch.setattr(exporting, "export_graph", lambda _, path: export_graph(other, path))
    with pytest.raises(ParityError, match="do not use this file"):
        export(CHECKPOINT, tmp_path / "small.onnx", NOW)
    assert not list(tmp_path.iterdir())


def test_export_leaves_dropout_out(tmp_path: Path) -> None:
    network = small_network()
    network.train()
    path = tmp_path / "small.onnx"
    export_graph(network, path)
    assert not network.training
    assert "Dropout" not in {node.op_type for node in onnx.load(str(path)).graph.node}
