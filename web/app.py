"""The site: how its parts are put together, and how it answers when something is wrong."""

import logging
from pathlib import Path
from typing import Any

from litestar import Litestar, MediaType, Response
from litestar.config.compression import CompressionConfig
from litestar.datastructures import CacheControlHeader, MutableScopeHeaders
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.static_files import create_static_files_router
from litestar.types import Message, Scope

from storage.ipc.push_protocol import rejection_json
from web import telemetry
from web.api import functions_api, health, ingest_api
from web.api.openapi import KEYS, SECURITY
from web.auth import OPEN, Auth, admitted
from web.display.exports import FORMS
from web.display.system_status import writer_problem
from web.http_errors import HttpRejection
from web.lake_session import LakeMissing, LakeSession, LakeUnreadable, QueryFailed
from web.live import Live, live
from web.pages import fleet_page, server_page, sources_page
from web.pages.server_page import ServerNotFound
from web.rendering import STATIC, AnyRequest, page, time_of

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
YEAR_SECONDS = 31_536_000


def create_app(data: Path | str, exposed: bool = False) -> Litestar:
    """The site over the lake in folder `data`, which need not be there yet.

    `exposed` says that others than this machine can reach it: then everything needs a key.
    """
    lake, pages = LakeSession(data), Live(Path(data))
    app = Litestar(
        route_handlers=[
            *fleet_page.ROUTES, *server_page.ROUTES, *sources_page.ROUTES, *health.ROUTES,
            *functions_api.ROUTES, *ingest_api.ROUTES, *telemetry.ROUTES,
            live, _static(),
        ],
        guards=[admitted],
        dependencies={
            "lake": Provide(lambda: lake, sync_to_thread=False),
            "request_time": Provide(time_of, sync_to_thread=False),
            "live": Provide(lambda: pages, sync_to_thread=False),
        },
        lifespan=[pages.watching],
        on_shutdown=[lake.close],
        exception_handlers={
            LakeMissing: _waiting, LakeUnreadable: _unreadable, QueryFailed: _unreadable,
            ServerNotFound: _unknown_server, HttpRejection: _refused_with_remedy,
            HTTPException: _refused, Exception: _broken,
        },
        before_send=[_guarded],
        logging_config=None,  # logging is the process's own business
        compression_config=CompressionConfig("gzip", gzip_compress_level=5, exclude="/live"),
        openapi_config=OpenAPIConfig(
            title="Hoursight", version="0.1.0", components=KEYS, security=SECURITY,
            render_plugins=[JsonRenderPlugin(path=["/", "/openapi.json"])],
        ),
    )  # fmt: skip
    app.state.lake, app.state.live = lake, pages
    app.state.telemetry = telemetry.Telemetry(lake)
    app.state.access, app.state.under_way = Auth(lake.folders, exposed), ingest_api.InFlightLimit()
    return app


async def _guarded(message: Message, _: Scope) -> None:
    """Every answer, also to a fault, carries the headers that keep a browser on its guard."""
    if message["type"] == "http.response.start":
        headers = MutableScopeHeaders.from_message(message)
        for name, value in HEADERS.items():
            headers[name] = value


def _static() -> Any:
    return create_static_files_router(
        "/static", [STATIC], opt=OPEN,
        cache_control=CacheControlHeader(max_age=YEAR_SECONDS, public=True, immutable=True),
    )  # fmt: skip


def _wants_data(request: AnyRequest) -> bool:
    path = request.url.path
    if request.method not in ("GET", "HEAD"):
        return True
    return path.rpartition(".")[2] in FORMS or path.startswith(
        ("/charts/", "/readyz", "/api/", "/metrics")
    )


def _answer(
    request: AnyRequest, name: str, status_code: int, headline: str, **context: Any
) -> Response[Any]:
    """The page NAME, or the headline as JSON where data was asked for."""
    if _wants_data(request):
        body = rejection_json(status_code, headline, context.get("remedy", ""))
        return Response(body, status_code=status_code, media_type=MediaType.JSON)
    return page(
        request, name, status_code=status_code, now=time_of(request), headline=headline,
        **context,
    )  # fmt: skip


def _lake(request: AnyRequest) -> LakeSession:
    lake: LakeSession = request.app.state.lake
    return lake


def _waiting(request: AnyRequest, error: LakeMissing) -> Response[Any]:
    folders, now = _lake(request).folders, time_of(request)
    return _answer(
        request, "waiting", 503 if _wants_data(request) else 200, str(error),
        data=folders.data, troubles=list(writer_problem(folders, now)),
    )  # fmt: skip


def _unreadable(request: AnyRequest, error: Exception) -> Response[Any]:
    log.error("the lake cannot be read: %s", error)
    folders, now = _lake(request).folders, time_of(request)
    return _answer(
        request, "trouble", 503, "The lake cannot be read", detail=str(error), data=folders.data,
        remedy=(
            "See whether the disk is full or gone and whether the writer runs. If the catalog is "
            "damaged, put back the last backup. This page tries again every 5 seconds."
        ),
        troubles=list(writer_problem(folders, now)),
    )  # fmt: skip


def _unknown_server(request: AnyRequest, error: ServerNotFound) -> Response[Any]:
    return _answer(
        request,
        "unknown",
        404,
        str(error.detail),
        server=error.server,
        near=error.near,
        troubles=error.status.troubles,
    )


def _refused(request: AnyRequest, error: HTTPException) -> Response[Any]:
    headline = "There is no such page" if error.status_code == 404 else str(error.detail)
    answer = _answer(request, "refused", error.status_code, headline, remedy="")
    answer.headers.update(error.headers or {})  # such as Allow
    return answer


def _refused_with_remedy(request: AnyRequest, error: HttpRejection) -> Response[Any]:
    answer = _answer(request, "refused", error.status_code, error.detail, remedy=error.remedy)
    answer.headers.update(error.headers or {})
    return answer


def _broken(request: AnyRequest, error: Exception) -> Response[Any]:
    log.exception("%s failed", request.url.path, exc_info=error)
    return _answer(
        request, "trouble", 500, "This page has failed", detail=f"{type(error).__name__}: {error}",
        data=_lake(request).folders.data,
        remedy="It is a fault of the site, not of your servers; its log tells more. "
        "The other pages and the data go on.",
    )  # fmt: skip
