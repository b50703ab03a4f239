"""The shelf of model files in a data folder: which one serves, which did before, which could.

    models/NAME.onnx, NAME.pt   a candidate or one that has served, and its weights
    models/serving.onnx         the one in use, a copy; without it the one in the package serves
    models/previous.onnx        the one before it, a copy; without it that was the package's

Whoever forecasts sees `serving.onnx` change. Each change is told to the lake by a segment.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from storage.config.folders import Folders
from storage.errors import HoursightError
from storage.inbox import segment
from storage.model.schema import table

__all__ = [
    "SHIPPED",
    "ModelMissing",
    "fingerprint",
    "model_event_row",
    "names",
    "path_of",
    "promote",
    "rollback",
    "weights_of",
]  # fmt: skip

SHIPPED = "shipped"  # the name of the model in the package
_SERVING, _PREVIOUS = "serving.onnx", "previous.onnx"


class ModelMissing(HoursightError):
    """There is no model of that name, or none before the present one; the message says which."""


def names(folders: Folders) -> tuple[str, ...]:
    """The models on the shelf, oldest first; the package's own is not among them."""
    paths = [p for p in folders.models.glob("*.onnx") if p.name not in (_SERVING, _PREVIOUS)]
    return tuple(p.stem for p in sorted(paths, key=lambda p: (p.stat().st_mtime, p.name)))


def path_of(folders: Folders, name: str) -> Path:
    """The file of a model on the shelf; ModelMissing names those there are."""
    path = folders.models / f"{name}.onnx"
    if name not in names(folders):
        there = ", ".join((SHIPPED, *names(folders)))
        raise ModelMissing(f"no model {name!r} in {folders.models}: there are {there}")
    return path


def fingerprint(path: Path) -> str | None:
    """By what a model file is known in the lake; None when it is not there."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.exists() else None


def weights_of(folders: Folders, model: Path) -> Path | None:
    """The weights from which a training can go on from `model`; None when they are not here."""
    wanted = fingerprint(model)
    for name in names(folders):
        weights = folders.models / f"{name}.pt"
        if fingerprint(folders.models / f"{name}.onnx") == wanted and weights.exists():
            return weights
    return None


def promote(folders: Folders, name: str) -> None:
    """Let a model of the shelf serve, or the package's own (`SHIPPED`), from the next cycle on."""
    new = None if name == SHIPPED else path_of(folders, name)
    serving = folders.models / _SERVING
    _put(folders.models / _PREVIOUS, serving if serving.exists() else None)
    _put(serving, new)


def rollback(folders: Folders) -> None:
    """Change the model that serves and the one before it; ModelMissing when there is only one."""
    serving, previous = folders.models / _SERVING, folders.models / _PREVIOUS
    if not serving.exists() and not previous.exists():
        raise ModelMissing(f"{folders.models}: no model was ever promoted, so there is none before")
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
    """A row in the table `models`: what happened to a file, and why, in words."""
    row = {
        "model": fingerprint(path),
        "ts": now,
        "event": event,
        "path": str(path),
        "detail": detail,
        "card": json.dumps({k: v for k, v in card.items() if k != "fixture"}),
    }
    rows = pa.Table.from_pylist([row], table("models").arrow)
    segment.write(folders, rows, segment.Provenance("models", "models", now))


def _put(target: Path, source: Path | None) -> None:
    """Make `target` a copy of `source` in one step, or remove it."""
    if source is None:
        target.unlink(missing_ok=True)
        return
    draft = target.with_name(target.name + ".copy")
    shutil.copyfile(source, draft)
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    draft.replace(target)
