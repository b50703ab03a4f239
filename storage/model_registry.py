"""Model registry: the model files of a data folder, promotion and rollback.

    models/NAME.onnx, NAME.pt   a candidate or a former serving model, and its weights
    models/serving.onnx         a copy of the serving model; without it the shipped model serves
    models/previous.onnx        a copy of the model before it; without it that was the shipped one

Forecasters notice a change of `serving.onnx`. Each event is recorded in the table `models`.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from storage.config.folders import Folders
from storage.errors import HoursightError
from storage.inbox import segment
from storage.model.schema import table
from storage.platform.durability import sync_file
from storage.platform.trusted_files import check_trusted, read_trusted

__all__ = [
    "MODELS_KEPT",
    "SHIPPED",
    "ModelMissing",
    "fingerprint",
    "model_event",
    "model_event_row",
    "names",
    "path_of",
    "promote",
    "prune",
    "rollback",
    "weights_of",
]  # fmt: skip

MODELS_KEPT = 20
SHIPPED = "shipped"  # name of the model in the package
_SERVING, _PREVIOUS = "serving.onnx", "previous.onnx"


class ModelMissing(HoursightError):
    """No model has that name, or there is no previous model; the message says which."""


def names(folders: Folders) -> tuple[str, ...]:
    """The names of the models in the folder, oldest first, without the shipped one."""
    paths = [p for p in folders.models.glob("*.onnx") if p.name not in (_SERVING, _PREVIOUS)]
    return tuple(p.stem for p in sorted(paths, key=lambda p: (p.stat().st_mtime, p.name)))


def path_of(folders: Folders, name: str) -> Path:
    """The file of a model in the folder.

    Raises ModelMissing, which names the existing ones, and NotTrusted if others can have written
    it.
    """
    path = folders.models / f"{name}.onnx"
    if name not in names(folders):
        known = ", ".join((SHIPPED, *names(folders)))
        raise ModelMissing(f"no model {name!r} in {folders.models} (expected one of {known})")
    check_trusted(path)
    return path


def fingerprint(path: Path) -> str | None:
    """The id of a model file in the lake; None if the file does not exist."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.exists() else None


def weights_of(folders: Folders, model: Path) -> Path | None:
    """The weights from which training can continue `model`; None if they do not exist."""
    wanted = fingerprint(model)
    for name in names(folders):
        weights = folders.models / f"{name}.pt"
        if fingerprint(folders.models / f"{name}.onnx") == wanted and weights.exists():
            return weights
    return None


def prune(folders: Folders) -> tuple[str, ...]:
    """Remove the oldest models beyond `MODELS_KEPT`; return their names.

    The serving and the previous model stay, and are not counted.
    """
    kept = {fingerprint(folders.models / name) for name in (_SERVING, _PREVIOUS)}
    others = [name for name in names(folders) if fingerprint(path_of(folders, name)) not in kept]
    removed = tuple(others[:-MODELS_KEPT])
    for name in removed:
        for path in (folders.models / f"{name}.onnx", folders.models / f"{name}.pt"):
            path.unlink(missing_ok=True)
    return removed


def promote(folders: Folders, name: str) -> None:
    """Make a model of the folder, or the shipped one (`SHIPPED`), serve from the next cycle on."""
    new = None if name == SHIPPED else path_of(folders, name)
    serving = folders.models / _SERVING
    _put(folders.models / _PREVIOUS, serving if serving.exists() else None)
    _put(serving, new)


def rollback(folders: Folders) -> None:
    """Exchange the serving and the previous model. Raises ModelMissing if there is none."""
    serving, previous = folders.models / _SERVING, folders.models / _PREVIOUS
    if not serving.exists() and not previous.exists():
        raise ModelMissing(
            f"{folders.models}: no model was ever promoted, so there is no previous one"
        )
    replaced = folders.models / "replaced.draft"
    _put(replaced, serving if serving.exists() else None)
    _put(serving, previous if previous.exists() else None)
    _put(previous, replaced if replaced.exists() else None)
    replaced.unlink(missing_ok=True)


def model_event_row(
    folders: Folders,
    event: str,
    path: Path,
    detail: str,
    card: Mapping[str, Any],
    now: datetime,
) -> None:
    """Record an event of a model file, with its reason, in the table `models`."""
    rows = model_event(event, path, detail, card, now)
    segment.write(folders, rows, segment.Provenance("models", "models", now))


def model_event(
    event: str, path: Path, detail: str, card: Mapping[str, Any], now: datetime
) -> pa.Table:
    """Return an event of a model file, with its reason, as a row of the table `models`."""
    row = {
        "model": fingerprint(path),
        "ts": now,
        "event": event,
        "path": str(path),
        "detail": detail,
        "card": json.dumps({k: v for k, v in card.items() if k != "fixture"}),
    }
    return pa.Table.from_pylist([row], table("models").arrow)


def _put(target: Path, source: Path | None) -> None:
    """Replace `target` by a copy of `source` atomically, or remove it. Raises NotTrusted."""
    if source is None:
        target.unlink(missing_ok=True)
        return
    draft = target.with_name(target.name + ".copy")
    draft.write_bytes(read_trusted(source))
    sync_file(draft)
    draft.replace(target)
