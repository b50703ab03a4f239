"""Resume of a suspended function by a person, as `hoursight functions resume` does it."""

import uuid
from typing import Any

import msgspec
import pyarrow as pa

from functions.engine.function import Batch, function
from functions.engine.run_log import RESUMED
from functions.engine.triggers import request
from functions.engine.window import Window
from functions.function_states import function_infos
from functions.normalize.strict_toml import SourceInvalid, decode_strict
from storage.model.schema import table

__all__ = ["function_resume"]


class ResumeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which function is to run again."""

    name: str


@function(on=request(), writes="runs")
def function_resume(window: Window, body: Any) -> Batch:
    """Let a suspended function run again at once; `body` has its `name`."""
    try:
        wanted: ResumeRequest = decode_strict(body if body is not None else {}, ResumeRequest)
    except SourceInvalid as error:
        return Batch(refused=1, reasons=(str(error),))
    known = {info.name: info for info in function_infos(window)}
    info = known.get(wanted.name)
    if info is None:
        names = ", ".join(sorted(known))
        return Batch(refused=1, reasons=(f"no function {wanted.name!r}; there are {names}",))
    if not info.suspended:
        text = f"{info.name} is not suspended: it runs whenever it is due"
        return Batch(answer={"name": info.name, "text": text})
    row = {
        "run_id": uuid.uuid4().hex, "function": info.name, "code_hash": info.code_hash,
        "trigger": "command", "ts": window.now, "outcome": RESUMED,
    }  # fmt: skip
    text = f"{info.name} runs again when it is due, within seconds"
    runs = pa.Table.from_pylist([row], table("runs").arrow)
    return Batch({"runs": runs}, answer={"name": info.name, "text": text})
