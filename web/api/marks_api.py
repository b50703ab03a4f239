"""`POST /api/v1/marks`: what people and their tools do or announce, such as a deployment."""

from typing import Any

import msgspec
from litestar import Response, post

from web.api.functions_api import error_of, json_answer, read_body
from web.audit import noted_call
from web.auth import MARK
from web.engine_calls import run_function
from web.operations import JSON, answering
from web.rendering import SiteRequest, TheLake

__all__ = ["add_marks"]

# What a pipeline reports. To answer, silence or close alerts takes the rights of an operator.
REPORTED = ("deploy", "remediation")


@post(
    "/api/v1/marks", status_code=200, summary="Mark a deployment, an act, an answer or a silence",
    opt=MARK, operation_class=answering(JSON),
)  # fmt: skip
async def add_marks(request: SiteRequest, lake: TheLake) -> Response[bytes]:
    """The JSON in the request is one mark or a list of them; the response has their rows.

    A mark has `kind` (deploy, remediation, acknowledged, acting, silence, unsilence or closed), one
    of `server`, `pattern` and `episode`, and optionally `metric`, `starts_at`, `ends_at` or
    `lasts`, `made_by`, `note`. 422: no mark could be used, `error` says why.
    """
    body = await read_body(request)
    if not all(_kind(each) in REPORTED for each in (body if isinstance(body, list) else [body])):
        request.app.state.auth.check(request, "operate")
    call = {"name": "mark", "body": body}
    status, answer = _judged(*await run_function(request, lake, call))
    noted_call(request, "mark", body, error_of(status, answer), status)
    return json_answer(request, status, answer)


def _kind(mark: Any) -> Any:
    return mark.get("kind") if isinstance(mark, dict) else None


def _judged(status: int, answer: bytes) -> tuple[int, bytes]:
    """Return 422 for an answer by which no mark was taken."""
    run = msgspec.json.decode(answer)
    if status != 200 or not run.get("refused") or run.get("row_counts"):
        return status, answer
    return 422, msgspec.json.encode({"error": "; ".join(run["reasons"])})
