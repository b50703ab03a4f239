"""The site's application: its parts, and its answers to errors."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from litestar import Litestar, Response
from litestar.config.compression import CompressionConfig
from litestar.datastructures import Headers
from litestar.di import Provide
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Server

from storage.config.web_settings import WebSettings
from web.access_trace import AccessTrace, address_of
from web.api.ingest_api import push_turns
from web.api.openapi import KEYS, SECURITY
from web.api.prometheus_api import promql_turns
from web.audit_trail import AuditTrail
from web.auth import AccessRefused, Auth, require_access
from web.display.exports import FORMATS
from web.display.system_status import disk_problems, writer_problem
from web.engine_calls import call_turns, trial_turns
from web.etags import answering_unchanged, tagged
from web.http_errors import HttpRejection, Overloaded
from web.lake_session import LakeMissing, LakeSession, LakeUnreadable, QueryFailed
from web.live import LiveUpdates
from web.oidc import OidcLogins, OidcProvider
from web.pages.login_page import Logins, asks_for_login, login_answer, wanted_path
from web.pages.server_view import ServerNotFound
from web.prefix import under_prefix
from web.problem_json import problem_response
from web.query_runner import QueryRunner
from web.rendering import SiteRequest, page, time_of
from web.request_check import checking_requests
from web.requested_time import earlier_time
from web.routes import routes
from web.security_headers import add_security_headers
from web.telemetry.telemetry import Telemetry
from web.turns import Turns, limiting_exports
from web.uploads import BodyStalled, Uploads, limiting_uploads

__all__ = ["create_app"]

log = logging.getLogger(__name__)

DATA_PATHS = (
    "/charts/", "/readyz", "/api/", "/metrics", "/feed", "/write", "/predictions/", "/predict/",
    "/explain/", "/alerts/active", "/status",
)  # fmt: skip

# An export is rendered in a thread, and whole: a few at a time leave the pages a core.
MAX_EXPORTS, MAX_EXPORTS_WAITING, MAX_EXPORT_WAIT_S = 2, 64, 5.0


def create_app(
    data: Path | str,
    exposed: bool = False,
    read_without_key: bool = False,
    web: WebSettings | None = None,
) -> Litestar:
    """Return the site over the lake in folder `data`, which need not exist yet.

    `exposed` says that other machines can reach it: then every request needs an API key.
    `read_without_key` lets this machine read without one although keys exist. `web` says who may
    log in how.
    """
    lake, live = LakeSession(data), LiveUpdates(Path(data))
    uploads, queries = Uploads(), QueryRunner(lake.folders)
    trace = AccessTrace(lake.folders)
    audit = AuditTrail(lake.folders)
    auth = Auth(lake.folders, trace, exposed, read_without_key, web)
    app = Litestar(
        route_handlers=routes(),
        request_class=SiteRequest,
        guards=[require_access],
        middleware=[
            answering_unchanged,
            partial(limiting_uploads, uploads),
            partial(limiting_exports, _export_turns(), tuple(FORMATS)),
        ],
        dependencies={
            "lake": Provide(_lake_of(lake), sync_to_thread=False),
            "request_time": Provide(time_of, sync_to_thread=False),
            "live": Provide(lambda: live, sync_to_thread=False),
        },
        lifespan=[live.watching, trace.saving, auth.sessions.saving, audit.sending],
        on_shutdown=[lake.close, queries.close],
        exception_handlers=_exception_handlers(),
        after_request=tagged,
        before_send=[add_security_headers],
        logging_config=None,  # each process configures its own logging
        compression_config=CompressionConfig("gzip", gzip_compress_level=5, exclude="/live"),
        openapi_config=OpenAPIConfig(
            title="Hoursight", version="0.1.0", servers=[Server(auth.web.prefix or "/")],
            components=KEYS, security=SECURITY,
            render_plugins=[JsonRenderPlugin(path=["/", "/openapi.json"])],
        ),
    )  # fmt: skip
    app.state.lake, app.state.live, app.state.telemetry = lake, live, Telemetry(lake)
    app.state.auth, app.state.trace, app.state.uploads = auth, trace, uploads
    app.state.audit, app.state.logins = audit, Logins()
    app.state.queries = queries
    app.state.push_turns, app.state.call_turns = push_turns(), call_turns()
    app.state.oidc = OidcLogins(), OidcProvider(auth.web.oidc)
    app.state.promql_turns = promql_turns()
    app.state.trial_turns = trial_turns()
    app.asgi_handler = under_prefix(checking_requests(app.asgi_handler, trace), auth.web.prefix)
    return app


def _lake_of(present: LakeSession) -> Callable[[SiteRequest], LakeSession]:
    """Return the provider of the lake as it was known at the time that a request asks for."""

    def lake(request: SiteRequest) -> LakeSession:
        earlier = earlier_time(request)
        return present if earlier is None else present.known_at(earlier)

    return lake


def _export_turns() -> Turns:
    return Turns("exports", MAX_EXPORTS, MAX_EXPORTS_WAITING, MAX_EXPORT_WAIT_S)


def _exception_handlers() -> dict[int | type[Exception], Any]:
    # Litestar types them for its own Request, but calls them with the `request_class` of the app.
    return {
        LakeMissing: _lake_missing, LakeUnreadable: _lake_unreadable,
        QueryFailed: _lake_unreadable, ServerNotFound: _server_not_found,
        AccessRefused: _access_refused, HttpRejection: _rejected, HTTPException: _http_error,
        Exception: _internal_error,
    }  # fmt: skip


def _wants_json(request: SiteRequest) -> bool:
    """Return True for data, and for a program: one that accepts JSON, or changes something."""
    path, accepted = request.url.path, request.headers.get("accept", "")
    if path.rpartition(".")[2] in FORMATS or path.startswith(DATA_PATHS):
        return True
    if "text/html" in accepted:
        return False
    return "json" in accepted or request.method not in ("GET", "HEAD")


def _error_response(
    request: SiteRequest, template: str, status_code: int, headline: str, **context: Any
) -> Response[Any]:
    """Return the error page, or the headline and remedy as a problem for a request of data."""
    if _wants_json(request):
        return problem_response(request, status_code, headline, context.get("remedy", ""))
    return page(
        request, template, status_code=status_code, now=time_of(request), headline=headline,
        **context,
    )  # fmt: skip


def _lake(request: SiteRequest) -> LakeSession:
    lake: LakeSession = request.app.state.lake
    return lake


def _may_read(request: SiteRequest) -> bool:
    """Return True if the answer may name the folders of this machine."""
    may_read: bool = request.app.state.auth.grants(request, "read")
    return may_read


def _lake_missing(request: SiteRequest, error: LakeMissing) -> Response[Any]:
    folders, now = _lake(request).folders, time_of(request)
    headline = str(error) if _may_read(request) else "there is no lake yet"
    return _error_response(
        request, "waiting", 503 if _wants_json(request) else 200, headline,
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
    headline, remedy = "Page not found" if error.status_code == 404 else str(error.detail), ""
    if isinstance(error, ValidationException):
        headline, remedy = _validation(error), "correct it in the URL"
    if error.status_code == 405:
        allowed = Headers(error.headers or {}).get("allow", "GET")
        headline, remedy = f"the method {request.method[:20]} is not allowed here", f"use {allowed}"
    answer = _error_response(request, "rejected", error.status_code, headline, remedy=remedy)
    answer.headers.update(error.headers or {})  # such as Allow
    return answer


def _validation(error: ValidationException) -> str:
    """Return which parameters are not valid, and why."""
    problems = error.extra if isinstance(error.extra, list) else []
    return "; ".join(f"{each['key']}: {each['message']}" for each in problems) or error.detail


def _rejected(request: SiteRequest, error: HttpRejection) -> Response[Any]:
    _count_refusal(request, error)
    answer = _error_response(
        request, "rejected", error.status_code, error.detail, remedy=error.remedy
    )
    answer.headers.update(error.headers or {})
    return answer


def _access_refused(request: SiteRequest, error: AccessRefused) -> Response[Any]:
    """Return the login to a browser that shows a page, and else the refusal."""
    if error.status_code != 401 or not asks_for_login(request):
        return _rejected(request, error)
    return login_answer(request, 401, error.detail, wanted=wanted_path(request))


def _count_refusal(request: SiteRequest, error: HttpRejection) -> None:
    reasons: dict[type[Exception], str] = {Overloaded: "overload", BodyStalled: "stalled"}
    if reason := reasons.get(type(error)):
        trace: AccessTrace = request.app.state.trace
        trace.refused(reason, address_of(request.scope), error.detail, datetime.now(UTC))


def _internal_error(request: SiteRequest, error: Exception) -> Response[Any]:
    log.exception("%s failed", request.url.path, exc_info=error)
    may_read = _may_read(request)
    return _error_response(
        request, "problem", 500, "Internal error",
        detail=f"{type(error).__name__}: {error}" if may_read else "",
        data=_lake(request).folders.data if may_read else "",
        remedy="The fault is in this site, not in your servers; see the log of the web process. "
        "Other pages and data collection are not affected.",
    )  # fmt: skip
