"""Calls of functions in the engine, a limited number at a time."""

from typing import Any

import msgspec
from litestar import Request

from storage.ipc.rpc import NotRunning, call_rpc
from web.lake_session import LakeSession
from web.turns import Turns

__all__ = ["call_turns", "run_function", "trial_turns"]

# The engine has a limit and a queue of its own; this one holds when the engine does not answer.
MAX_CALLS = 32


def call_turns() -> Turns:
    """Turns of calls; one beyond the limit does not wait."""
    return Turns("calls of functions", MAX_CALLS, 0, 0)


def trial_turns() -> Turns:
    """Turns of calls that take minutes: one at a time leaves the engine's turns to the others."""
    return Turns("trials", 1, 2, 60.0)


async def run_function(
    request: Request[Any, Any, Any], lake: LakeSession, call: dict[str, Any]
) -> tuple[int, bytes]:
    """Run a function in the engine; return the HTTP status and the JSON of its answer."""
    try:
        async with request.app.state.call_turns.turn():
            return await call_rpc(lake.folders.rpc_socket, msgspec.json.encode(call))
    except NotRunning as error:
        return 503, msgspec.json.encode(
            {"error": str(error), "detail": error.message, "remedy": error.remedy or ""}
        )
