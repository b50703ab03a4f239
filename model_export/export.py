"""Write a trained forecaster as one ONNX file with its card, once torch and ONNX agree."""

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

__all__ = ["LARGEST_BYTES", "SHIPPED", "export", "export_graph"]

SHIPPED = Path(__file__).parent / "shipped" / "tft.onnx"
LARGEST_BYTES = 5_000_000  # what a package may grow by for a model
_OPSET = 17  # the newest of the exporter that needs no onnxscript
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
    """Write `checkpoint` to `path` in one step, verified, and return its card.

    Raises ParityError when the file would not compute what torch computes, ValueError when it
    would be larger than 5 MB; `path` is then left as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    try:
        export_graph(checkpoint.network, draft)
        differences = parity(checkpoint.network, draft)
        told = card(checkpoint, now, differences, scores or {}, fixture(draft), command)
        write_card(draft, told)
        if draft.stat().st_size > LARGEST_BYTES:
            raise ValueError(f"{path}: {draft.stat().st_size} bytes; at most {LARGEST_BYTES}")
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    return told


def export_graph(network: ForecastNetwork, path: Path) -> None:
    """Write the bare graph; its batch axis is free, and one clock may serve the whole batch."""
    network.eval()  # the exporter restores the mode it found: dropout must not come back
    served = InferenceNetwork(network).eval()
    example = awkward_windows(3, seed=0)
    with warnings.catch_warnings():
        # lengths are constant here, so what the tracer turns into constants is right
        warnings.simplefilter("ignore")
        torch.onnx.export(
            served,
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
