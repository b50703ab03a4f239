"""Model card: JSON in the metadata of an ONNX file, with its inputs, grid and scores."""

import base64
import hashlib
import json
import zlib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from model_export.network import ForecastNetwork
from model_export.scaling import BIN_STEPS, SPREAD_FLOOR, slopes
from model_export.train import Checkpoint
from storage.model.grid import (
    CONTEXT_STEPS,
    HORIZON_STEPS,
    MIN_CONTEXT_STEPS,
    QUANTILES,
    STEP_MINUTES,
    schema_hash,
)
from storage.model.metrics import METRICS
from storage.model.profiles import PROFILE_NAMES

__all__ = ["CARD_KEY", "CONTRACT", "card", "pack_array", "read_card", "unpack_array", "write_card"]

CARD_KEY = "hoursight_card"
CONTRACT = 2  # version of inputs, outputs and card; serving refuses any other


def card(
    checkpoint: Checkpoint,
    now: datetime,
    parity: Mapping[str, float],
    scores: Mapping[str, Any],
    fixture: Mapping[str, Any],
    command: str,
) -> dict[str, Any]:
    """Return the card of a trained model as plain JSON values.

    `parity` is the largest difference between torch and onnxruntime in σ by batch size, `scores`
    the held-out scores by data set, `fixture` the self-test from `parity_check.fixture`, `command`
    the command line that made the model.
    """
    network = checkpoint.network
    return {
        "contract": CONTRACT,
        "schema_hash": schema_hash(),
        "created_at": now.isoformat(timespec="seconds"),
        "command": command,
        "weights_sha256": weights_hash(network),
        "network": {"kind": "temporal fusion transformer", **network.shape.as_dict()},
        "inputs": _inputs(),
        "output": "quantiles [servers, 96, 14, 7], raw units, NaN where a metric abstains",
        "growth_per_step": slopes().tolist(),
        "metrics": [{"name": m.name, "unit": m.unit} for m in METRICS],
        "grid": _grid(),
        "quantiles": list(QUANTILES),
        "profiles": {name: i for i, name in enumerate(PROFILE_NAMES)},
        "profile_fallback": "generic",
        "scaling": _scaling(),
        "gaps": "a bin without readings has the last one's value, before the first the centre",
        "training": {
            "corpora": list(checkpoint.corpora),
            "windows_seen": checkpoint.windows_seen,
            "epochs": round(checkpoint.epochs, 3),
            "seed": checkpoint.seed,
        },
        "scores": dict(scores),
        "parity_sigma": dict(parity),
        "fixture": dict(fixture),
    }


def weights_hash(network: ForecastNetwork) -> str:
    """Return the SHA-256 of all parameters and persistent buffers, in the order of their names."""
    digest = hashlib.sha256()
    for name, values in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(values.detach().cpu().numpy().tobytes())
    return digest.hexdigest()


def write_card(model: Path, card: Mapping[str, Any]) -> None:
    """Replace all metadata of the ONNX file `model` with `card`."""
    proto = onnx.load(str(model))
    del proto.metadata_props[:]
    entry = proto.metadata_props.add()
    entry.key, entry.value = CARD_KEY, json.dumps(card, separators=(",", ":"))
    proto.producer_name = "hoursight"
    onnx.checker.check_model(proto)
    model.write_bytes(proto.SerializeToString())


def read_card(model: Path) -> dict[str, Any]:
    """Return the card of the ONNX file `model`. Raise KeyError if the file has none."""
    properties = {p.key: p.value for p in onnx.load(str(model)).metadata_props}
    card: dict[str, Any] = json.loads(properties[CARD_KEY])
    return card


def pack_array(values: NDArray[Any]) -> dict[str, Any]:
    """Return an array of any shape as JSON values: dtype, shape, base85 of the zlib bytes."""
    raw = zlib.compress(np.ascontiguousarray(values).tobytes(), 9)
    return {
        "dtype": values.dtype.str,
        "shape": list(values.shape),
        "b85": base64.b85encode(raw).decode(),
    }


def unpack_array(packed: Mapping[str, Any]) -> NDArray[Any]:
    """Return the array that `pack_array` wrote, read-only."""
    raw = zlib.decompress(base64.b85decode(packed["b85"]))
    return np.frombuffer(raw, np.dtype(packed["dtype"])).reshape(packed["shape"])


def _inputs() -> dict[str, str]:
    return {
        "context": "float32 [servers, 288, 14], raw units, oldest first, NaN = missing",
        "ranked": "float32 [servers, 14, 288], each metric's readings in ascending order, NaN last,"
        " after taking growth_per_step * (steps since the newest, 0 or less) out",
        "week_minute": "float32 [servers] or [1], minutes from Monday 00:00 UTC to the first step;"
        " inside: sin and cos of 2π·minutes/1440 and of 2π·minutes/10080 per 15-minute bin",
        "profile": "int64 [servers], see profiles",
    }


def _grid() -> dict[str, int]:
    return {
        "step_minutes": STEP_MINUTES,
        "context_steps": CONTEXT_STEPS,
        "horizon_steps": HORIZON_STEPS,
        "bin_steps": BIN_STEPS,
        "min_context_steps": MIN_CONTEXT_STEPS,
    }


def _scaling() -> dict[str, Any]:
    return {
        "inside": True,
        "centre": "median of the observed steps",
        "spread": "mean absolute deviation from it",
        "spread_floor": f"{SPREAD_FLOOR:g} * (|centre| + {SPREAD_FLOOR:g})",
        "inputs": "sign(z) * log1p(|z|)",
        "uptime_days": "grows by 1/288 per step, taken out before and put back after",
        "clamped_to": {m.name: [m.lowest, m.highest] for m in METRICS},
    }
