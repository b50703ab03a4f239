"""`GET` and `POST /api/v1/sql`: a query for programs."""

from dataclasses import dataclass
from typing import Annotated, Literal

from anyio import to_thread
from litestar import MediaType, Response, get, post
from litestar.params import Body, FromQuery

from storage.platform.printable import printable_json
from storage.query.plain_values import json_text
from storage.query.result_files import arrow_bytes, plain_rows
from web.display.exports import FORMATS
from web.http_errors import HttpRejection
from web.operations import JSON, answering
from web.query_runner import FILE_ROWS, QueryRows, rows_for_program
from web.rendering import SiteRequest

__all__ = ["query_get", "query_post"]

ARROW = FORMATS["arrow"][1]
DEFAULT_ROWS = 10_000
Format = Literal["json", "arrow"]


@dataclass(frozen=True, slots=True)
class Query:
    """A statement, the most rows, and the format of the answer."""

    q: str
    max_rows: int = DEFAULT_ROWS
    format: Format = "json"


@get("/api/v1/sql", summary="Run a query", operation_class=answering(JSON, ARROW))
async def query_get(
    request: SiteRequest,
    q: FromQuery[str],
    max_rows: FromQuery[int] = DEFAULT_ROWS,
    format: FromQuery[Format] = "json",  # noqa: A002 - the name in the URL
) -> Response[bytes]:
    """One SELECT or EXPLAIN over the lake, in a sandbox, for at most 5 s.

    The answer has `columns` (name, type), `rows` (lists), `truncated` and `took_ms`; with
    `format=arrow` it is an Arrow IPC file. 413: a row is too large; 422: the query is refused or
    failed; 501: this machine has no sandbox; 504: it took too long.
    """
    return await _answer(request, Query(q, max_rows, format))


@post(
    "/api/v1/sql", status_code=200, summary="Run a query that may be long",
    operation_class=answering(JSON, ARROW),
)  # fmt: skip
async def query_post(
    request: SiteRequest, data: Annotated[Query, Body(description="a query and its limits")]
) -> Response[bytes]:
    """As GET; the JSON in the request has `q`, and optionally `max_rows` and `format`."""
    return await _answer(request, data)


async def _answer(request: SiteRequest, query: Query) -> Response[bytes]:
    if not 1 <= query.max_rows <= FILE_ROWS:
        raise HttpRejection(
            422, f"max_rows is {query.max_rows}", f"use a number from 1 to {FILE_ROWS}"
        )
    result = await rows_for_program(request.app.state, query.q, query.max_rows)
    encode, media_type = (
        (_arrow, ARROW) if query.format == "arrow" else (_json, MediaType.JSON.value)
    )
    body = await to_thread.run_sync(encode, result)
    return Response(body, media_type=media_type, headers={"Cache-Control": "no-store"})


def _arrow(result: QueryRows) -> bytes:
    return arrow_bytes(result.rows)


def _json(result: QueryRows) -> bytes:
    answer = {
        "columns": [{"name": f.name, "type": str(f.type)} for f in result.rows.schema],
        "rows": plain_rows(result.rows), "row_count": result.rows.num_rows,
        "truncated": result.truncated, "took_ms": round(result.took_ms, 1),
    }  # fmt: skip
    return printable_json(json_text(answer)).encode()
