"""`POST /api/v1/functions/NAME`: run a function in the engine and return its rows."""

from datetime import datetime
from typing import Any

import msgspec
from litestar import MediaType, Response, post
from litestar.exceptions import ClientException
from litestar.params import FromPath, FromQuery

from storage.ipc.decoding import InvalidJson, decode_json, decoded_bytes
from storage.ipc.rpc import NotRunning, call_rpc
from web.auth import ADMIN
from web.http_errors import RETRY_AFTER, HttpRejection
from web.lake_session import LakeSession
from web.operations import JSON, answering
from web.rendering import SiteRequest, TheLake
from web.turns import Turns

__all__ = ["call_function", "call_turns", "json_answer", "read_body", "run_function"]

# The engine has a limit and a queue of its own; this one holds when the engine does not answer.
MAX_CALLS = 32
MAX_DECODED_BYTES = 128 << 20  # about 400,000 values


def call_turns() -> Turns:
    """Turns of calls; one beyond the limit does not wait."""
    return Turns("calls of functions", MAX_CALLS, 0, 0)


@post(
    "/api/v1/functions/{name:str}", status_code=200, summary="Run a function and return its rows",
    opt=ADMIN, operation_class=answering(JSON),
)  # fmt: skip
async def call_function(
    request: SiteRequest,
    lake: TheLake,
    name: FromPath[str],
    now: FromQuery[datetime | None] = None,
    dry_run: FromQuery[bool] = False,
) -> Response[bytes]:
    """The JSON in the request is the function's `body`; the response has its rows by table.

    404: unknown function; 413: too many values in the body; 500: it failed, `error` says why; 503:
    the engine is not running, or too many calls are; 504: it was stopped at its deadline.
    """
    call = {"name": name, "now": now, "dry_run": dry_run, "body": await read_body(request)}
    return json_answer(*await run_function(request, lake, call))


async def run_function(
    request: SiteRequest, lake: LakeSession, call: dict[str, Any]
) -> tuple[int, bytes]:
    """Run a function in the engine; return the HTTP status and the JSON of its answer."""
    try:
        async with request.app.state.call_turns.turn():
            return await call_rpc(lake.folders.rpc_socket, msgspec.json.encode(call))
    except NotRunning as error:
        return 503, msgspec.json.encode({"error": str(error)})


def json_answer(status: int, answer: bytes) -> Response[bytes]:
    """Return an answer of the engine as a response."""
    headers = {"Cache-Control": "no-store"} | (RETRY_AFTER if status == 503 else {})
    return Response(answer, status_code=status, media_type=MediaType.JSON, headers=headers)


async def read_body(request: SiteRequest) -> Any:
    """Return the JSON of a request; None without one. Raises a rejection for anything else."""
    body = await request.body()
    if decoded_bytes(body) > MAX_DECODED_BYTES:
        raise HttpRejection(413, "the body has too many values", "call the function in parts")
    try:
        return decode_json(body, narrow=True) if body.strip() else None
    except InvalidJson as error:
        raise ClientException(f"the body is not valid JSON: {error}") from error
