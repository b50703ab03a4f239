"""`POST /api/v1/functions/NAME`: run a function in the engine and return its rows."""

from datetime import datetime
from typing import Any

import msgspec
from litestar import Response, post
from litestar.exceptions import ClientException
from litestar.params import FromPath, FromQuery

from storage.ipc.decoding import InvalidJson, decode_json, decoded_bytes
from web.audit import noted_call
from web.auth import ADMIN
from web.engine_calls import run_function
from web.http_errors import RETRY_AFTER, HttpRejection
from web.operations import JSON, answering
from web.problem_json import data_answer
from web.rendering import SiteRequest, TheLake

__all__ = ["call_function", "error_of", "json_answer", "read_body"]

OF_THE_SITE = frozenset({"audit"})
MAX_DECODED_BYTES = 128 << 20  # about 400,000 values


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
    if name in OF_THE_SITE:
        raise HttpRejection(403, f"{name} is written by the site alone", "read the table of it")
    call = {"name": name, "now": now, "dry_run": dry_run, "body": await read_body(request)}
    status, answer = await run_function(request, lake, call)
    if not dry_run:
        noted_call(request, name, call["body"], error_of(status, answer), status)
    return json_answer(request, status, answer)


def error_of(status: int, answer: bytes) -> str:
    """Return why an answer of the engine is an error; empty if it is none."""
    if status == 200:
        return ""
    return msgspec.json.decode(answer, type=_Failed).error or f"the engine answered {status}"


class _Failed(msgspec.Struct, frozen=True):
    error: str | None = None


def json_answer(request: SiteRequest, status: int, answer: bytes) -> Response[bytes]:
    """Return an answer of the engine as a response."""
    return data_answer(request, status, answer, **(RETRY_AFTER if status == 503 else {}))


async def read_body(request: SiteRequest) -> Any:
    """Return the JSON of a request; None without one. Raises a rejection for anything else."""
    body = await request.body()
    if decoded_bytes(body) > MAX_DECODED_BYTES:
        raise HttpRejection(413, "the body has too many values", "call the function in parts")
    try:
        return decode_json(body, narrow=True) if body.strip() else None
    except InvalidJson as error:
        raise ClientException(f"the body is not valid JSON: {error}") from error
