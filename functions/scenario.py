"""Scenario: which one the simulated fleet plays, switched by a person."""

from typing import Any

import msgspec
import pyarrow as pa

from functions.engine.function import Batch, function
from functions.engine.triggers import request
from functions.engine.window import Window
from functions.normalize.strict_toml import SourceInvalid, decode_strict
from functions.simulator.incidents import SCENARIOS
from storage.config.settings import settings_in_force
from storage.model.schema import table

__all__ = ["scenario"]


class ScenarioRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The scenario that is to play from now on."""

    scenario: str

    def __post_init__(self) -> None:
        if self.scenario not in SCENARIOS:
            raise ValueError(
                f"scenario is {self.scenario!r}, expected one of {', '.join(SCENARIOS)}"
            )


@function(on=request(), writes="scenarios")
def scenario(window: Window, body: Any) -> Batch:
    """Switch the scenario of the simulated fleet from now on; `body` has the `scenario`."""
    if not settings_in_force(window.reader.folders.data).sources.simulator.enabled:
        why = "the simulator is off: set sources.simulator.enabled = true in hoursight.toml"
        return Batch(refused=1, reasons=(why,))
    try:
        wanted: ScenarioRequest = decode_strict(body if body is not None else {}, ScenarioRequest)
    except SourceInvalid as error:
        return Batch(refused=1, reasons=(str(error),))
    row = {"ts": window.now, "scenario": wanted.scenario}
    return Batch({"scenarios": pa.Table.from_pylist([row], table("scenarios").arrow)})
