"""Functions over HTTP: the site hands a call to the running system and passes its answer on."""

from datetime import datetime
from typing import Any

import msgspec
from litestar import MediaType, Response, post
from litestar.exceptions import ClientException
from litestar.params import FromPath, FromQuery

from storage.ipc.decoding import InvalidJson, decode_json
from storage.ipc.rpc import NotRunning, call_rpc
from web.auth import ADMIN
from web.rendering import AnyRequest, TheLake

__all__ = ["ROUTES"]


@post(
    "/api/v1/functions/{name:str}", status_code=200, summary="Run a function and get its rows",
    opt=ADMIN,
)  # fmt: skip
async def call(
    request: AnyRequest,
    lake: TheLake,
    name: FromPath[str],
    now: FromQuery[datetime | None] = None,
    dry_run: FromQuery[bool] = False,
) -> Response[bytes]:
    """The JSON that is sent is the function's `body`; the answer has its rows by table.

    404: no such function; 500: it failed, `error` says why; 504: it was stopped at its deadline;
    503: nothing runs that could take the call.
    """
    question = {"name": name, "now": now, "dry_run": dry_run, "body": await _body(request)}
    try:
        status, answer = await call_rpc(lake.folders.rpc_socket, msgspec.json.encode(question))
    except NotRunning as error:
        status, answer = 503, msgspec.json.encode({"error": str(error)})
    return Response(
        answer, status_code=status, media_type=MediaType.JSON,
        headers={"Cache-Control": "no-store"},
    )  # fmt: skip


async def _body(request: AnyRequest) -> Any:
    sent = await request.body()
    try:
        return decode_json(sent, narrow=True) if sent.strip() else None
    except InvalidJson as error:
        raise ClientException(f"the body is not valid JSON: {error}") from error


ROUTES = (call,)
