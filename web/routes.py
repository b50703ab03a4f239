"""The router: every route of the site, by purpose. Paths are declared at the handlers."""

from typing import Any

from litestar.datastructures import CacheControlHeader
from litestar.file_system import BaseLocalFileSystem
from litestar.router import Router
from litestar.static_files import create_static_files_router
from litestar.types import ControllerRouterHandler, PathType
from litestar.types.file_types import FileInfo

from web.api.functions_api import call_function
from web.api.health import healthz, readyz, status
from web.api.ingest_api import feed, write_lines, write_series
from web.api.marks_api import add_marks
from web.api.mcp_api import mcp_endpoint
from web.api.metrics_api import metrics
from web.api.predictions_api import current_predictions, explain, predict
from web.api.prometheus_api import PROMETHEUS
from web.api.sql_api import query_get, query_post
from web.auth import OPEN
from web.live import live_events
from web.pages.act_page import act_page, act_post
from web.pages.alerts_page import alerts_active, alerts_export, alerts_page, answer_alert
from web.pages.episode_page import episode_page, message_preview
from web.pages.fleet_page import fleet_export, fleet_page
from web.pages.login_page import log_in, log_out, login_page
from web.pages.oidc_page import oidc_begin, oidc_return
from web.pages.report_page import report_download, report_page
from web.pages.rules_page import rules_page, silence_servers, try_rule
from web.pages.saved_queries import remove_query, save_query
from web.pages.server_actions import act_on_server
from web.pages.server_page import chart_data, server_page
from web.pages.settings_page import settings_page
from web.pages.sources_page import sources_export, sources_page
from web.pages.sql_page import sql_export, sql_page
from web.pages.trust_page import change_model, trust_page
from web.rendering import STATIC

__all__ = ["routes"]

PAGES: tuple[ControllerRouterHandler, ...] = (
    fleet_page,
    server_page,
    act_on_server,
    alerts_page,
    answer_alert,
    episode_page,
    message_preview,
    rules_page,
    try_rule,
    silence_servers,
    trust_page,
    change_model,
    report_page,
    report_download,
    sql_page,
    save_query,
    remove_query,
    sources_page,
    settings_page,
    login_page,
    log_in,
    log_out,
    oidc_begin,
    oidc_return,
    act_page,
    act_post,
)
EXPORTS: tuple[ControllerRouterHandler, ...] = (
    fleet_export,
    chart_data,
    alerts_export,
    alerts_active,
    sql_export,
    sources_export,
    current_predictions,
    predict,
    explain,
)  # fmt: skip
LIVE: tuple[ControllerRouterHandler, ...] = (live_events,)
STATUS: tuple[ControllerRouterHandler, ...] = (healthz, readyz, status, metrics)
INGEST: tuple[ControllerRouterHandler, ...] = (feed, write_lines, write_series)
FUNCTIONS: tuple[ControllerRouterHandler, ...] = (call_function, add_marks)
QUERIES: tuple[ControllerRouterHandler, ...] = (query_get, query_post, mcp_endpoint)

YEAR_SECONDS = 31_536_000


def routes() -> list[ControllerRouterHandler]:
    """Return the handlers of all routes."""
    return [
        *PAGES,
        *EXPORTS,
        *LIVE,
        *STATUS,
        *INGEST,
        *FUNCTIONS,
        *PROMETHEUS,
        *QUERIES,
        _static_files(),
    ]


class _StaticFiles(BaseLocalFileSystem):
    """The static files; a path that cannot be one is a missing file, not a failure."""

    async def info(self, path: PathType, **options: Any) -> FileInfo:
        try:
            return await super().info(path, **options)
        except (OSError, ValueError) as error:  # too long, below a file, with a NUL
            raise FileNotFoundError(path) from error


def _static_files() -> Router:
    return create_static_files_router(
        "/static", [STATIC], opt=OPEN, file_system=_StaticFiles(),
        cache_control=CacheControlHeader(max_age=YEAR_SECONDS, public=True, immutable=True),
    )  # fmt: skip
