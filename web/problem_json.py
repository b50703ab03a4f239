"""Problem details (RFC 9457): the one shape of errors that are data."""

from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import msgspec
from litestar import Request, Response

from storage.ipc.push_protocol import rejection_json
from web.operations import JSON, PROBLEM
from web.prefix import prefix_of

__all__ = ["data_answer", "problem_response"]

_NO_STORE = {"Cache-Control": "no-store"}


def problem_response(
    request: Request[Any, Any, Any], status_code: int, detail: str, remedy: str = "", **more: Any
) -> Response[bytes]:
    """Return an error as a problem: type, title, status, detail, remedy and instance."""
    body = rejection_json(status_code, detail, remedy, instance=_instance(request), **more)
    return Response(body, status_code=status_code, media_type=PROBLEM, headers=_NO_STORE)


def data_answer(
    request: Request[Any, Any, Any], status_code: int, answer: bytes, **headers: str
) -> Response[bytes]:
    """Return what another process answered in JSON; of an error it becomes a problem.

    Its own fields stay.
    """
    headers = {**_NO_STORE, **headers}
    if status_code < 400:
        return Response(answer, status_code=status_code, media_type=JSON, headers=headers)
    given: dict[str, Any] = msgspec.json.decode(answer, type=dict[str, Any])
    detail = str(given.get("detail") or given.get("error") or HTTPStatus(status_code).phrase)
    problem = msgspec.json.decode(rejection_json(status_code, detail, instance=_instance(request)))
    return Response(
        msgspec.json.encode(problem | given), status_code=status_code, media_type=PROBLEM,
        headers=headers,
    )  # fmt: skip


def _instance(request: Request[Any, Any, Any]) -> str:
    return prefix_of(request.scope) + quote(request.scope["path"], safe="/:@!$&'()*+,;=~")
