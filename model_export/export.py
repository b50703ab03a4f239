"""ONNX export: one model file with its card, published only if torch and onnxruntime agree."""

import os
import warnings
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from model_export.card import card, write_card
from model_export.inference_network import InferenceNetwork
from model_export.network import ForecastNetwork
from model_export.parity_check import awkward_windows, fixture, parity
from model_export.scaling import ranked
from model_export.train import Checkpoint
from storage.model.model_seal import sealed

__all__ = ["LARGEST_BYTES", "SHIPPED", "export", "export_graph"]

SHIPPED = Path(__file__).parent / "shipped" / "tft.onnx"
LARGEST_BYTES = 5_000_000  # the shipped model is part of the wheel
_OPSET = 17  # the newest one that torch exports without onnxscript
_AXES = {
    "context": {0: "servers"},
    "ranked": {0: "servers"},
    "week_minute": {0: "clocks"},
    "profile": {0: "servers"},
    "quantiles": {0: "servers"},
}


def export(
    checkpoint: Checkpoint,
    path: Path,
    now: datetime,
    scores: Mapping[str, Any] | None = None,
    command: str = "",
) -> dict[str, Any]:
    """Export `checkpoint` to `path` atomically and return the card in the file.

    `scores` and `command` go into the card. Raise ParityError if onnxruntime computes something
    else than torch, ValueError if the file would exceed 5 MB; `path` is unchanged in both cases.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    try:
        export_graph(checkpoint.network, draft)
        differences = parity(checkpoint.network, draft)
        model_card = card(checkpoint, now, differences, scores or {}, fixture(draft), command)
        write_card(draft, model_card)
        draft.write_bytes(sealed(draft.read_bytes()))
        if draft.stat().st_size > LARGEST_BYTES:
            raise ValueError(
                f"{path}: the model file has {draft.stat().st_size} bytes; expected at most "
                f"{LARGEST_BYTES}: use a smaller network"
            )
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    return model_card


def export_graph(network: ForecastNetwork, path: Path) -> None:
    """Write the inference graph of `network` to `path`, without a card.

    The number of servers is a free axis; `week_minute` has one entry per server or one for all.
    """
    network.eval()  # the exporter restores the previous mode, which must not bring dropout back
    inference = InferenceNetwork(network).eval()
    example = awkward_windows(3, seed=0)
    with warnings.catch_warnings():
        # the tracer warns that it turns lengths into constants: here they are constant
        warnings.simplefilter("ignore")
        torch.onnx.export(
            inference,
            (
                torch.from_numpy(example.context),
                torch.from_numpy(ranked(example.context)),
                torch.from_numpy(example.week_minute[:1].astype(np.float32)),
                torch.from_numpy(example.profile),
            ),
            str(path),
            input_names=["context", "ranked", "week_minute", "profile"],
            output_names=["quantiles"],
            dynamic_axes=_AXES,
            opset_version=_OPSET,
            dynamo=False,
        )
