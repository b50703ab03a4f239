"""The SQL page: the query is the URL; its rows as table, chart and files."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from anyio import to_thread
from litestar import Response, get
from litestar.params import FromQuery

from storage.config.folders import Folders
from storage.config.saved_queries import SavedQueries, SavedQuery, SavedQueryRefused
from storage.config.settings import schema_of
from web.display import exports
from web.display.query_chart import HEIGHT, WIDTH, QueryChart, query_chart
from web.display.query_files import query_response
from web.display.query_snippets import query_snippets
from web.display.query_table import QueryTable, query_table
from web.display.schema_browser import EXAMPLES, relations
from web.operations import PAGE, answering
from web.prefix import prefix_of
from web.query_runner import (
    DEADLINE_S,
    MAX_QUERY,
    PAGE_ROWS,
    QueryRows,
    SandboxFailed,
    SandboxUnavailable,
    failure_text,
    rows_for_program,
    runner_of,
)
from web.rendering import SiteRequest, TheLake, TheTime, page

__all__ = ["sql_export", "sql_page"]

SHOWN_ROWS = 50


@dataclass(frozen=True, slots=True)
class QueryView:
    """What a query gave: rows, or why there are none; `line` and `caret` show where."""

    table: QueryTable | None = None
    chart: QueryChart | None = None
    truncated: bool = False
    took_ms: float = 0.0
    error: str = ""
    remedy: str = ""
    line: str = ""
    caret: str = ""


@get(
    "/sql", summary="SQL page: a query, its rows and chart, the schema",
    operation_class=answering(PAGE),
)  # fmt: skip
async def sql_page(
    request: SiteRequest,
    lake: TheLake,
    request_time: TheTime,
    q: FromQuery[str] = "",
    show: FromQuery[int] = SHOWN_ROWS,
) -> Response[str]:
    """HTML; for requests of htmx only the result."""
    runner = runner_of(request.app.state)
    off = await to_thread.run_sync(runner.unavailable)
    q, view = q.strip(), None
    if q and off is None:
        view = await _view(request, q, min(max(1, show), PAGE_ROWS), request_time)
    saved, saved_error = _saved(lake.folders)
    return page(
        request, "sql", now=request_time, q=q, view=view, off=off, saved=saved,
        saved_error=saved_error, shown_rows=SHOWN_ROWS, width=WIDTH, height=HEIGHT,
        max_query=MAX_QUERY, page_rows=PAGE_ROWS, deadline_s=DEADLINE_S,
        relations=relations(schema_of(lake.folders)), examples=EXAMPLES, twins=_twins(q),
        more=urlencode({"q": q, "show": PAGE_ROWS}),
        snippets=query_snippets(q, _site(request), lake.folders.data) if q else {},
    )  # fmt: skip


@get(
    exports.paths("/sql"), summary="Rows of a query as data",
    operation_class=answering(*exports.MEDIA_TYPES),
)  # fmt: skip
async def sql_export(request: SiteRequest, q: FromQuery[str]) -> Response[bytes]:
    """The rows of `q` as JSON, CSV, Parquet or Arrow, at most 1,000,000 rows and 64 MiB.

    The header X-Hoursight-Truncated says whether there are more. 413: a row is too large; 422: the
    query is refused or failed; 504: it took too long.
    """
    result = await rows_for_program(request.app.state, q)
    extension = request.url.path.rpartition(".")[2]
    return await to_thread.run_sync(query_response, result.rows, extension, result.truncated)


async def _view(request: SiteRequest, q: str, show: int, now: datetime) -> QueryView:
    if len(q) > MAX_QUERY:
        return QueryView(
            error=f"the query has {len(q)} characters", remedy=f"shorten it to {MAX_QUERY}"
        )
    try:
        result = await runner_of(request.app.state).page(q)
    except SandboxFailed as error:
        return _failed(q, error)
    except SandboxUnavailable as error:
        return QueryView(error=error.message, remedy=error.remedy or "")
    return await to_thread.run_sync(_shown, result, show, now)


def _shown(result: QueryRows, show: int, now: datetime) -> QueryView:
    return QueryView(
        query_table(result.rows, show), query_chart(result.rows, now), result.truncated,
        result.took_ms,
    )  # fmt: skip


def _failed(q: str, error: SandboxFailed) -> QueryView:
    line = caret = ""
    if error.at is not None:
        start = q.rfind("\n", 0, error.at) + 1
        line = q[start:].partition("\n")[0]
        caret = " " * (error.at - start) + "▲"
    return QueryView(
        error=failure_text(q, error), remedy=error.remedy or "", line=line, caret=caret
    )


def _saved(folders: Folders) -> tuple[Sequence[SavedQuery], str]:
    try:
        return SavedQueries(folders).all(), ""
    except SavedQueryRefused as error:
        return (), str(error)


def _twins(q: str) -> list[tuple[str, str]]:
    """Name and path of each file of the same rows."""
    return [(ext, f"/sql.{ext}?{urlencode({'q': q})}") for ext in exports.FORMATS]


def _site(request: SiteRequest) -> str:
    host = request.headers.get("host", "localhost")
    return f"{request.url.scheme}://{host}{prefix_of(request.scope)}"
