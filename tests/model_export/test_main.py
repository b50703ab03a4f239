from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model_export import verify
from model_export.__main__ import main
from model_export.card import read_card
from storage.metrics import METRIC_NAMES
from tests.model_export.fleets import MONDAY_S, fleet


def written(folder: Path) -> Path:
    """Eleven days of two servers, as a history file."""
    history = fleet(servers=2, days=11)
    seconds = MONDAY_S + np.arange(history.steps) * 300
    columns = {
        "ts": pa.array(np.tile(seconds, 2), pa.timestamp("s", tz="UTC")),
        "server": np.repeat(history.servers, history.steps),
        **{name: history.values[..., i].ravel() for i, name in enumerate(METRIC_NAMES)},
    }
    path = folder / "history.parquet"
    pq.write_table(pa.table(columns), path)
    return path


def test_history_becomes_a_verified_and_scored_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(verify, "BATCHES", (1,))
    history, weights, model = written(tmp_path), tmp_path / "a.ckpt", tmp_path / "m" / "a.onnx"
    training = ["--history", str(history), "--steps", "2", "--batch", "2", "--out", str(weights)]
    assert main(["train", *training]) == 0
    assert main(["export", "--checkpoint", str(weights), "--out", str(model)]) == 0
    assert main(["verify", "--checkpoint", str(weights), "--model", str(model)]) == 0
    assert main(["evaluate", "--model", str(model), "--history", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert "4 windows seen" in told
    assert "differ by" in told
    assert "seasonal naive     1.000" in told
    assert read_card(model)["training"]["windows_seen"] == 4


def test_what_cannot_be_read_is_told_without_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "--history", str(tmp_path)]) == 1
    assert "no Parquet file there" in capsys.readouterr().err
