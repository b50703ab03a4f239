"""The card inside a model file: all that a reader must know to feed it and to trust it."""

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

__all__ = ["CARD_KEY", "CONTRACT", "card", "packed", "read_card", "unpacked", "write_card"]

CARD_KEY = "hoursight_card"
CONTRACT = 2  # of inputs, outputs and card; serving refuses another one


def card(
    checkpoint: Checkpoint,
    now: datetime,
    parity: Mapping[str, float],
    scores: Mapping[str, Any],
    fixture: Mapping[str, Any],
    command: str,
) -> dict[str, Any]:
    """The card of a trained model, as plain JSON values; `parity` per batch size in σ."""
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
        "grid": {
            "step_minutes": STEP_MINUTES,
            "context_steps": CONTEXT_STEPS,
            "horizon_steps": HORIZON_STEPS,
            "bin_steps": BIN_STEPS,
            "min_context_steps": MIN_CONTEXT_STEPS,
        },
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
    """SHA-256 of the weights, name by name."""
    digest = hashlib.sha256()
    for name, values in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(values.detach().cpu().numpy().tobytes())
    return digest.hexdigest()


def write_card(model: Path, told: Mapping[str, Any]) -> None:
    """Put the card into the model file's metadata, in place of the one that is there."""
    proto = onnx.load(str(model))
    del proto.metadata_props[:]
    entry = proto.metadata_props.add()
    entry.key, entry.value = CARD_KEY, json.dumps(told, separators=(",", ":"))
    proto.producer_name = "hoursight"
    onnx.checker.check_model(proto)
    model.write_bytes(proto.SerializeToString())


def read_card(model: Path) -> dict[str, Any]:
    """The card of a model file; KeyError when it has none."""
    properties = {p.key: p.value for p in onnx.load(str(model)).metadata_props}
    found: dict[str, Any] = json.loads(properties[CARD_KEY])
    return found


def packed(values: NDArray[Any]) -> dict[str, Any]:
    """An array as JSON: dtype, shape and base85 of its compressed bytes."""
    raw = zlib.compress(np.ascontiguousarray(values).tobytes(), 9)
    return {
        "dtype": values.dtype.str,
        "shape": list(values.shape),
        "b85": base64.b85encode(raw).decode(),
    }


def unpacked(told: Mapping[str, Any]) -> NDArray[Any]:
    """The array that `packed` told."""
    raw = zlib.decompress(base64.b85decode(told["b85"]))
    return np.frombuffer(raw, np.dtype(told["dtype"])).reshape(told["shape"])


def _inputs() -> dict[str, str]:
    return {
        "context": "float32 [servers, 288, 14], raw units, oldest first, NaN = missing",
        "ranked": "float32 [servers, 14, 288], each metric's readings in ascending order, NaN last,"
        " after taking growth_per_step * (steps since the newest, 0 or less) out",
        "week_minute": "float32 [servers] or [1], minutes from Monday 00:00 UTC to the first step;"
        " inside: sin and cos of 2π·minutes/1440 and of 2π·minutes/10080 per 15-minute bin",
        "profile": "int64 [servers], see profiles",
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
