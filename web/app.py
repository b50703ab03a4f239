"""The site's application: its parts, and its answers to errors."""

import logging
from pathlib import Path
from typing import Any

from litestar import Litestar, MediaType, Response
from litestar.config.compression import CompressionConfig
from litestar.datastructures import MutableScopeHeaders
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.types import Message, Scope

from storage.ipc.push_protocol import rejection_json
from web.api.ingest_api import InFlightLimit
from web.api.openapi import KEYS, SECURITY
from web.auth import Auth, require_access
from web.display.exports import FORMATS
from web.display.system_status import disk_problems, writer_problem
from web.http_errors import HttpRejection
from web.lake_session import LakeMissing, LakeSession, LakeUnreadable, QueryFailed
from web.live import LiveUpdates
from web.pages.server_page import ServerNotFound
from web.rendering import SiteRequest, page, time_of
from web.routes import routes
from web.telemetry.telemetry import Telemetry

__all__ = ["create_app"]

log = logging.getLogger(__name__)

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def create_app(data: Path | str, exposed: bool = False) -> Litestar:
    """Return the site over the lake in folder `data`, which need not exist yet.

    `exposed` says that other machines can reach it: then every request needs an API key.
    """
    lake, live = LakeSession(data), LiveUpdates(Path(data))
    app = Litestar(
        route_handlers=routes(),
        request_class=SiteRequest,
        guards=[require_access],
        dependencies={
            "lake": Provide(lambda: lake, sync_to_thread=False),
            "request_time": Provide(time_of, sync_to_thread=False),
            "live": Provide(lambda: live, sync_to_thread=False),
        },
        lifespan=[live.watching],
        on_shutdown=[lake.close],
        exception_handlers=_exception_handlers(),
        before_send=[_add_security_headers],
        logging_config=None,  # each process configures its own logging
        compression_config=CompressionConfig("gzip", gzip_compress_level=5, exclude="/live"),
        openapi_config=OpenAPIConfig(
            title="Hoursight", version="0.1.0", components=KEYS, security=SECURITY,
            render_plugins=[JsonRenderPlugin(path=["/", "/openapi.json"])],
        ),
    )  # fmt: skip
    app.state.lake, app.state.live, app.state.telemetry = lake, live, Telemetry(lake)
    app.state.auth, app.state.in_flight = Auth(lake.folders, exposed), InFlightLimit()
    return app


def _exception_handlers() -> dict[int | type[Exception], Any]:
    # Litestar types them for its own Request, but calls them with the `request_class` of the app.
    return {
        LakeMissing: _lake_missing, LakeUnreadable: _lake_unreadable,
        QueryFailed: _lake_unreadable, ServerNotFound: _server_not_found,
        HttpRejection: _rejected, HTTPException: _http_error, Exception: _internal_error,
    }  # fmt: skip


async def _add_security_headers(message: Message, _: Scope) -> None:
    """Add the headers to every response, also to those of errors."""
    if message["type"] == "http.response.start":
        headers = MutableScopeHeaders.from_message(message)
        for name, value in HEADERS.items():
            headers[name] = value


def _wants_json(request: SiteRequest) -> bool:
    path = request.url.path
    if request.method not in ("GET", "HEAD"):
        return True
    return path.rpartition(".")[2] in FORMATS or path.startswith(
        ("/charts/", "/readyz", "/api/", "/metrics")
    )


def _error_response(
    request: SiteRequest, template: str, status_code: int, headline: str, **context: Any
) -> Response[Any]:
    """Return the error page, or the headline and remedy as JSON for a request of data."""
    if _wants_json(request):
        body = rejection_json(status_code, headline, context.get("remedy", ""))
        return Response(body, status_code=status_code, media_type=MediaType.JSON)
    return page(
        request, template, status_code=status_code, now=time_of(request), headline=headline,
        **context,
    )  # fmt: skip


def _lake(request: SiteRequest) -> LakeSession:
    lake: LakeSession = request.app.state.lake
    return lake


def _lake_missing(request: SiteRequest, error: LakeMissing) -> Response[Any]:
    folders, now = _lake(request).folders, time_of(request)
    return _error_response(
        request, "waiting", 503 if _wants_json(request) else 200, str(error),
        data=folders.data, problems=[*disk_problems(folders), *writer_problem(folders, now)],
    )  # fmt: skip


def _lake_unreadable(request: SiteRequest, error: Exception) -> Response[Any]:
    log.error("the lake cannot be read: %s", error)
    folders, now = _lake(request).folders, time_of(request)
    return _error_response(
        request, "problem", 503, "The lake cannot be read", detail=str(error), data=folders.data,
        remedy=(
            "Check whether the disk is full or missing and whether the writer process is running. "
            "If the catalog is damaged, restore the last backup. This page retries every 5 seconds."
        ),
        problems=[*disk_problems(folders), *writer_problem(folders, now)],
    )  # fmt: skip


def _server_not_found(request: SiteRequest, error: ServerNotFound) -> Response[Any]:
    return _error_response(
        request, "unknown_server", 404, str(error.detail), server=error.server,
        similar=error.similar, problems=error.system.problems,
    )  # fmt: skip


def _http_error(request: SiteRequest, error: HTTPException) -> Response[Any]:
    headline = "Page not found" if error.status_code == 404 else str(error.detail)
    answer = _error_response(request, "rejected", error.status_code, headline, remedy="")
    answer.headers.update(error.headers or {})  # such as Allow
    return answer


def _rejected(request: SiteRequest, error: HttpRejection) -> Response[Any]:
    answer = _error_response(
        request, "rejected", error.status_code, error.detail, remedy=error.remedy
    )
    answer.headers.update(error.headers or {})
    return answer


def _internal_error(request: SiteRequest, error: Exception) -> Response[Any]:
    log.exception("%s failed", request.url.path, exc_info=error)
    return _error_response(
        request, "problem", 500, "Internal error", detail=f"{type(error).__name__}: {error}",
        data=_lake(request).folders.data,
        remedy="The fault is in this site, not in your servers; see the log of the web process. "
        "Other pages and data collection are not affected.",
    )  # fmt: skip
