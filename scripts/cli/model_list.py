"""`hoursight models`: list the models of the registry, promote one, roll back."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from functions import model_change
from functions.engine.forecaster import SHIPPED, Forecaster, ModelUnusable
from scripts.cli.output import print_grid
from storage import model_registry
from storage.config.folders import Folders
from storage.platform.trusted_files import NotTrusted, check_trusted

__all__ = ["promote", "roll_back", "show_models"]

Say = Callable[..., Any]


def show_models(data: Path) -> None:
    """Print a line for each model: whether it serves, its training data and the verdict on it."""
    folders = Folders.at(data)
    serving = model_registry.fingerprint(folders.own_model or SHIPPED)
    places = [(name, folders.models / f"{name}.onnx") for name in model_registry.names(folders)]
    own = folders.own_model
    if own and serving not in {model_registry.fingerprint(path) for _, path in places}:
        places.append(("serving.onnx", own))
    rows = [
        _row(name, path, serving) for name, path in [(model_registry.SHIPPED, SHIPPED), *places]
    ]
    print_grid(["model", "state", "made", "learned from", "windows seen", "verdict"], rows)


def _row(name: str, path: Path, serving: str | None) -> list[Any]:
    try:
        if path != SHIPPED:
            check_trusted(path)
        card = Forecaster.open(path).card
    except (ModelUnusable, NotTrusted) as error:
        return [name, "unusable", "", "", "", str(error)]
    state = "serving" if model_registry.fingerprint(path) == serving else ""
    training = card["training"]
    learned = {
        f"{c['name']}, {c['servers']} servers to {c['to'][:10]}" for c in training["corpora"]
    }
    source = f"{len(learned)} sets" if len(learned) > 1 else next(iter(learned), "")
    gate = card["scores"].get("gate", {})
    seen = f"{training['windows_seen']:,}"
    return [name, state, card["created_at"][:16], source, seen, gate.get("why", "")]


def promote(data: Path, name: str, say: Say) -> None:
    """Let a model serve. Raises ModelUnusable, and then nothing has changed."""
    folders = Folders.at(data).create()
    changed = model_change.promote(folders, name)
    model_registry.model_event_row(
        folders, changed.event, changed.path, "by a person", changed.card, datetime.now(UTC)
    )
    say(f"{name} serves from the next cycle on. Back: hoursight models rollback")


def roll_back(data: Path, say: Say) -> None:
    """Let the model serve that was serving before the present one."""
    folders = Folders.at(data).create()
    changed = model_change.roll_back(folders)
    model_registry.model_event_row(
        folders, changed.event, changed.path, "by a person", changed.card, datetime.now(UTC)
    )
    say(f"{model_change.name_of(folders, changed.path)} serves again.")
    say("Its calibration and its weights in the race, kept by its fingerprint, serve with it.")
