"""Change of the serving model by a person: promotion and rollback, with a reason."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from functions.engine.forecaster import SHIPPED, Forecaster, ModelUnusable
from functions.engine.function import Batch, function
from functions.engine.triggers import request
from functions.engine.window import Window
from functions.normalize.strict_toml import SourceInvalid, decode_strict
from storage import model_registry
from storage.config.folders import Folders
from storage.platform.trusted_files import NotTrusted

__all__ = ["Changed", "model_change", "name_of", "promote", "roll_back"]


@dataclass(frozen=True, slots=True)
class Changed:
    """A change that was made: its event, and the file and card of the model that serves now."""

    event: str
    path: Path
    card: Mapping[str, Any]


class ChangeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to change; `model` is the name of the model to promote."""

    action: Literal["promote", "rollback"]
    reason: str
    model: str | None = None
    made_by: str | None = None

    def __post_init__(self) -> None:
        if not self.reason.strip():
            raise ValueError("reason is empty: write why, for who reads it later")
        if (self.action == "promote") != bool(self.model):
            raise ValueError("model is to be given with the action 'promote', and with no other")


@function(on=request(), writes="models")
def model_change(window: Window, body: Any) -> Batch:
    """Let another model serve from the next forecast on, and record who did it and why.

    `body` has `action` (promote or rollback), `reason`, `made_by`, and `model` to promote.
    """
    folders = window.reader.folders
    try:
        wanted: ChangeRequest = decode_strict(body if body is not None else {}, ChangeRequest)
        changed = promote(folders, wanted.model) if wanted.model else roll_back(folders)
    except (SourceInvalid, ModelUnusable, model_registry.ModelMissing, NotTrusted) as error:
        return Batch(refused=1, reasons=(str(error),))
    detail = f"by {wanted.made_by or 'a person'}: {wanted.reason.strip()}"
    row = model_registry.model_event(
        changed.event, changed.path, detail, changed.card, window.now
    )  # fmt: skip
    return Batch({"models": row}, answer={"serves": name_of(folders, changed.path)})


def promote(folders: Folders, name: str) -> Changed:
    """Let a model serve. Raises ModelUnusable and ModelMissing, and then nothing has changed."""
    path = SHIPPED if name == model_registry.SHIPPED else model_registry.path_of(folders, name)
    card = Forecaster.open(path).card
    model_registry.promote(folders, name)
    return Changed("promoted", path, card)


def roll_back(folders: Folders) -> Changed:
    """Let the model serve that was serving before the present one. Raises ModelMissing."""
    model_registry.rollback(folders)
    return Changed("rolled back", folders.own_model or SHIPPED, Forecaster.serving(folders).card)


def name_of(folders: Folders, path: Path) -> str:
    """Return the name of a model file; of a copy in place of one that was removed its id."""
    if path == SHIPPED:
        return model_registry.SHIPPED
    wanted = model_registry.fingerprint(path)
    for name in model_registry.names(folders):
        if model_registry.fingerprint(folders.models / f"{name}.onnx") == wanted:
            return name
    return str(wanted)
