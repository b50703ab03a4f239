from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper

from model_export.card import card, pack_array, read_card, unpack_array, weights_hash, write_card
from model_export.train import Checkpoint
from storage.model.grid import schema_hash
from tests.model_export.small_networks import small_network

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """An ONNX file that returns its input, without metadata."""
    values = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    node = helper.make_node("Identity", ["x"], ["y"])
    graph = helper.make_graph([node], "identity", [values], [output])
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset]), str(tmp_path / "identity.onnx"))
    return tmp_path / "identity.onnx"


def test_a_card_has_what_a_reader_needs() -> None:
    checkpoint = Checkpoint(small_network(), 640, 0.5, ({"name": "waves"},), 3)
    written = card(checkpoint, NOW, {"1": 1e-5}, {"waves": {"model": [0.7]}}, {}, "a command")
    assert written["schema_hash"] == schema_hash()
    assert written["created_at"] == "2026-01-05T12:00:00+00:00"
    assert written["training"] == {
        "corpora": [{"name": "waves"}], "windows_seen": 640, "epochs": 0.5, "seed": 3,
    }  # fmt: skip
    assert written["weights_sha256"] == weights_hash(checkpoint.network)
    assert written["scores"] == {"waves": {"model": [0.7]}}
    assert written["parity_sigma"] == {"1": 1e-5}
    assert [m["name"] for m in written["metrics"]][:2] == ["cpu_user_pct", "cpu_sys_pct"]


def test_a_card_comes_back_from_the_file_as_it_was_written(model: Path) -> None:
    content = {"contract": 2, "scores": {"σ": [0.5, None]}}
    write_card(model, content)
    assert read_card(model) == content


def test_writing_a_card_replaces_the_one_before_and_keeps_the_graph(model: Path) -> None:
    graph = onnx.load(str(model)).graph
    write_card(model, {"contract": 1})
    write_card(model, {"contract": 2})
    assert read_card(model) == {"contract": 2}
    assert len(onnx.load(str(model)).metadata_props) == 1
    assert onnx.load(str(model)).graph == graph


def test_a_file_without_a_card_raises_key_error(model: Path) -> None:
    with pytest.raises(KeyError, match="hoursight_card"):
        read_card(model)


@pytest.mark.parametrize(
    "values",
    [
        np.array([[1.5, np.nan], [-3.0, 65504.0]], np.float16),
        np.arange(6, dtype=np.int64).reshape(2, 3)[:, ::2],
        np.empty((0, 14), np.float32),
    ],
    ids=["not a number", "not contiguous", "empty"],
)
def test_arrays_come_back_from_json_as_they_were(values: NDArray[Any]) -> None:
    back = unpack_array(pack_array(values))
    assert (back.dtype, back.shape) == (values.dtype, values.shape)
    np.testing.assert_array_equal(back, values)


def test_the_hash_of_weights_changes_with_any_of_them() -> None:
    network = small_network()
    before = weights_hash(network)
    assert weights_hash(small_network()) == before
    network.widen(torch.full((6,), 1.001))
    assert weights_hash(network) != before
