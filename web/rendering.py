"""Jinja templates: whole pages, and fragments for requests of htmx."""

import hashlib
from base64 import urlsafe_b64decode
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template, pass_context
from jinja2.runtime import Context
from litestar import MediaType, Response
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar_htmx import HTMXHeaders, HTMXRequest

from storage.model.severity import AlertLevel
from web.display import formatting
from web.display.chart_svg import PLOT_HEIGHT, chart_svg
from web.display.charts import BANDS
from web.display.metric_display import display_of
from web.display.problems import Problem
from web.lake_session import LakeSession
from web.navigation import NAVIGATION
from web.open_state import OpenState, open_state
from web.prefix import prefix_of
from web.query_links import query_url
from web.requested_time import carried, earlier_time, place_in_time, time_of

__all__ = [
    "NOTICE_COOKIE", "STATIC", "Notice", "SiteRequest", "TheLake", "TheTime", "is_fragment", "page",
    "public_path", "quoted", "server_path", "static_path", "time_of",
]  # fmt: skip

SiteRequest = HTMXRequest
TheLake = NamedDependency[LakeSession]
TheTime = NamedDependency[datetime]

NOTICE_COOKIE = "hoursight_notice"
STATE = "Hoursight-State"
_HERE = Path(__file__).parent
STATIC = _HERE / "static"
_HEADERS = {
    "Cache-Control": "no-store",
    "Vary": f"{HTMXHeaders.REQUEST.value}, {HTMXHeaders.HISTORY_RESTORE_REQUEST.value}",
}


class Notice(msgspec.Struct, frozen=True):
    """What came of the last action of this browser; a page shows it once."""

    text: str
    failed: bool = False


def is_fragment(request: SiteRequest) -> bool:
    """Return True if htmx swaps the answer into an open page."""
    return bool(request.htmx) and not request.htmx.history_restore_request


def page(
    request: SiteRequest,
    name: str,
    *,
    status_code: int = 200,
    problems: Sequence[Problem] = (),
    **context: Any,
) -> Response[str]:
    """Render `NAME.html`, or its fragment `_NAME.html` when htmx swaps it into an open page.

    htmx needs the whole page when it restores one from the browser's history.
    """
    fragment = is_fragment(request)
    shown = template(f"_{name}" if fragment else name)
    notice = None if fragment else _notice(request)
    earlier = earlier_time(request)
    lake: LakeSession = request.app.state.lake
    state = OpenState()
    if request.app.state.auth.grants(request, "read"):
        lake = lake if earlier is None else lake.known_at(earlier)
        state = open_state(lake, time_of(request))
    html = shown.render(
        request=request, fragment=fragment, problems=problems if earlier is None else (),
        notice=notice, open_state=state, wall=request.query_params.get("wall", "") not in ("", "0"),
        in_time=place_in_time(request), **context,
    )  # fmt: skip
    return Response(
        html if earlier is None else carried(html, earlier),
        media_type=MediaType.HTML, headers=_HEADERS | {STATE: state.header},
        status_code=status_code,
        cookies=[Cookie(NOTICE_COOKIE, value="", max_age=0)] if notice else None,
    )  # fmt: skip


def template(name: str) -> Template:
    """Return the template `NAME.html`."""
    return _templates().get_template(f"{name}.html")


def _notice(request: SiteRequest) -> Notice | None:
    try:
        text = urlsafe_b64decode(request.cookies.get(NOTICE_COOKIE, ""))
        return msgspec.json.decode(text, type=Notice) if text else None
    except ValueError:  # not ours; msgspec's errors are ValueErrors
        return None


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.globals.update(
        formatting=formatting, display_of=display_of, asset=asset, server_url=server_url,
        url=url, query_url=query_url, navigation=NAVIGATION, may=may, account=account,
        chart_svg=chart_svg, plot_height=PLOT_HEIGHT, bands=BANDS, levels=AlertLevel,
    )  # fmt: skip
    environment.filters["quoted"] = quoted
    environment.filters["sentence"] = formatting.sentence
    return environment


@pass_context
def asset(context: Context, name: str) -> str:
    """Return the URL of a static file, which changes with its content."""
    return url(context, static_path(name))


@cache
def static_path(name: str) -> str:
    """Return the path of a static file, which changes with its content."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:10]
    return f"/static/{name}?v={digest}"


def quoted(name: str) -> str:
    """Return a name percent-encoded as one segment of a URL path."""
    return quote(name, safe="")


@pass_context
def url(context: Context, path: str) -> str:
    """Return the URL of a path of this site, below the prefix at which a proxy serves it."""
    return public_path(context["request"], path)


def public_path(request: SiteRequest, path: str) -> str:
    """Return a path of this site as the browser has it, below the prefix of a proxy."""
    return prefix_of(request.scope) + path


@pass_context
def may(context: Context, scope: str) -> bool:
    """Return True if the visitor has the scope: a page offers only what he may do."""
    request = context["request"]
    granted: bool = request.app.state.auth.grants(request, scope)
    return granted


class Account(NamedTuple):
    """What the head of a page says: who the visitor is, and whether logging in or out helps."""

    name: str
    role: str
    may_log_in: bool
    may_log_out: bool


@pass_context
def account(context: Context) -> Account | None:
    """Return the visitor's account; None where nobody needs one."""
    request = context["request"]
    auth = request.app.state.auth
    visitor = auth.visitor(request)
    if visitor is None:
        return Account("", "", True, False) if auth.offers_login() else None
    by_session = visitor.ambient and visitor.kind != "proxy"
    return Account(visitor.name, visitor.role, False, by_session)


@pass_context
def server_url(context: Context, server: str) -> str:
    """Return the URL of a server's page, below that prefix."""
    return url(context, server_path(server))


def server_path(server: str) -> str:
    """Return the path of a server's page."""
    return f"/servers/{quoted(server)}"
