"""Jinja templates: whole pages, and fragments for requests of htmx."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import MediaType, Response
from litestar.di import NamedDependency
from litestar_htmx import HTMXHeaders, HTMXRequest

from storage.model.severity import AlertLevel
from web.display import formatting
from web.display.chart_svg import PLOT_HEIGHT, chart_svg
from web.display.charts import BANDS
from web.display.metric_display import display_of
from web.display.problems import Problem
from web.lake_session import LakeSession

__all__ = ["STATIC", "SiteRequest", "TheLake", "TheTime", "page", "time_of"]

SiteRequest = HTMXRequest
TheLake = NamedDependency[LakeSession]
TheTime = NamedDependency[datetime]

_HERE = Path(__file__).parent
STATIC = _HERE / "static"
_HEADERS = {
    "Cache-Control": "no-store",
    "Vary": f"{HTMXHeaders.REQUEST.value}, {HTMXHeaders.HISTORY_RESTORE_REQUEST.value}",
}


def time_of(request: SiteRequest) -> datetime:
    """Return the time of a request, the same for all of its queries and its page."""
    now: datetime = request.scope["state"].setdefault("hoursight_now", datetime.now(UTC))
    return now


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
    fragment = bool(request.htmx) and not request.htmx.history_restore_request
    template = _templates().get_template(f"_{name}.html" if fragment else f"{name}.html")
    return Response(
        template.render(request=request, fragment=fragment, problems=problems, **context),
        media_type=MediaType.HTML, headers=_HEADERS, status_code=status_code,
    )  # fmt: skip


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.globals.update(
        formatting=formatting, display_of=display_of, asset=asset, server_url=server_url,
        chart_svg=chart_svg, plot_height=PLOT_HEIGHT, bands=BANDS, levels=AlertLevel,
    )  # fmt: skip
    environment.filters["quoted"] = quoted
    environment.filters["sentence"] = formatting.sentence
    return environment


@cache
def asset(name: str) -> str:
    """Return the URL of a static file, which changes with its content."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:10]
    return f"/static/{name}?v={digest}"


def quoted(name: str) -> str:
    """Return a name percent-encoded as one segment of a URL path."""
    return quote(name, safe="")


def server_url(server: str) -> str:
    """Return the URL of a server's page."""
    return f"/servers/{quoted(server)}"
