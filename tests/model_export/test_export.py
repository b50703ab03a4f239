from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from model_export import export as exporting
from model_export import parity_check
from model_export.card import packed, read_card, unpacked, weights_hash
from model_export.export import export
from model_export.parity_check import (
    PARITY_SIGMA,
    ParityError,
    awkward_windows,
    forecasting,
    parity,
)
from model_export.train import Checkpoint
from storage.model.grid import schema_hash
from tests.model_export.small_networks import small_network

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
CHECKPOINT = Checkpoint(small_network(), 640, 0.5, ({"name": "waves"},), 3)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "small.onnx"
    export(CHECKPOINT, path, NOW, {"waves": {"model": [0.7]}}, "a command")
    return path


def test_torch_and_onnxruntime_agree_for_1_to_513_servers_with_gaps(model: Path) -> None:
    found = parity(CHECKPOINT.network, model)
    assert set(found) == {"1", "7", "64", "513"}
    assert max(found.values()) <= PARITY_SIGMA


def test_the_awkward_windows_hold_every_trouble() -> None:
    context = awkward_windows(60, 1).context
    gaps = np.isnan(context)
    assert (gaps.all(1)).any(), "missing metrics"
    assert (gaps[:, 0] & ~gaps[:, -1]).any(), "short histories"
    assert (gaps[:, 100:200].any(1) & ~gaps[:, 100:200].all(1)).any(), "gaps"
    assert (np.ptp(context, axis=1) == 0).any(), "flat series"


def test_one_clock_serves_the_whole_batch(model: Path) -> None:
    windows = awkward_windows(5, 2)
    clock = np.full(1, 777, np.float32)
    forecast = forecasting(model)
    shared = forecast(windows.context, clock, windows.profile)
    each = forecast(windows.context, clock.repeat(5), windows.profile)
    np.testing.assert_allclose(shared, each, rtol=1e-5, atol=1e-5)


def test_the_card_tells_what_a_reader_needs(model: Path) -> None:
    card = read_card(model)
    assert card["schema_hash"] == schema_hash()
    assert card["created_at"] == "2026-01-05T12:00:00+00:00"
    assert card["training"] == {
        "corpora": [{"name": "waves"}], "windows_seen": 640, "epochs": 0.5, "seed": 3,
    }  # fmt: skip
    assert card["weights_sha256"] == weights_hash(CHECKPOINT.network)
    assert card["scores"] == {"waves": {"model": [0.7]}}
    assert [m["name"] for m in card["metrics"]][:2] == ["cpu_user_pct", "cpu_sys_pct"]


def test_a_graph_that_computes_something_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parity_check, "BATCHES", (1, 7))
    path = tmp_path / "small.onnx"
    other = small_network(seed=1)
    exporting.export_graph(other, path)
    with pytest.raises(ParityError, match=r"small\.onnx.*batch 7"):
        parity(CHECKPOINT.network, path)


def test_a_failed_export_leaves_the_old_file(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = model.read_bytes()
    monkeypatch.setattr(parity_check, "BATCHES", (1,))
    monkeypatch.setattr(exporting, "LARGEST_BYTES", 1000)
    with pytest.raises(ValueError, match="at most 1000"):
        export(replace(CHECKPOINT, seed=4), model, NOW)
    assert model.read_bytes() == before
    assert [p.name for p in model.parent.iterdir()] == ["small.onnx"]


def test_export_leaves_dropout_out(tmp_path: Path) -> None:
    network = small_network()
    network.train()
    path = tmp_path / "small.onnx"
    exporting.export_graph(network, path)
    assert not network.training
    assert "Dropout" not in {node.op_type for node in onnx.load(str(path)).graph.node}


def test_arrays_come_back_from_json_as_they_were() -> None:
    values = np.array([[1.5, np.nan], [-3.0, 65504.0]], np.float16)
    np.testing.assert_array_equal(unpacked(packed(values)), values)


def test_the_forecaster_takes_its_batch_size_from_its_input(model: Path) -> None:
    windows = awkward_windows(3, 4)
    with torch.no_grad():
        expected = CHECKPOINT.network(
            torch.from_numpy(windows.context),
            torch.from_numpy(windows.week_minute),
            torch.from_numpy(windows.profile),
        ).numpy()
    found = forecasting(model, batch=2)(windows.context, windows.week_minute, windows.profile)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
