"""Templates, and how a page or only its fragment is answered."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import MediaType, Request, Response
from litestar.di import NamedDependency

from web.display import formatting
from web.display.metric_display import display_of
from web.display.system_status import Problem
from web.lake_session import LakeSession

__all__ = ["STATIC", "AnyRequest", "TheLake", "TheTime", "page", "time_of"]

AnyRequest = Request[Any, Any, Any]
TheLake = NamedDependency[LakeSession]
TheTime = NamedDependency[datetime]

_HERE = Path(__file__).parent
STATIC = _HERE / "static"
_HEADERS = {"Cache-Control": "no-store", "Vary": "HX-Request"}


def time_of(request: AnyRequest) -> datetime:
    """The time that a request is about: the same one for all of its queries and its page."""
    now: datetime = request.scope["state"].setdefault("hoursight_now", datetime.now(UTC))
    return now


def page(
    request: AnyRequest,
    name: str,
    *,
    status_code: int = 200,
    troubles: Sequence[Problem] = (),
    **context: Any,
) -> Response[str]:
    """The page NAME.html; only its live part, `_NAME.html`, when htmx asks."""
    part = request.headers.get("HX-Request") == "true"
    template = _templates().get_template(f"_{name}.html" if part else f"{name}.html")
    return Response(
        template.render(part=part, troubles=troubles, **context),
        media_type=MediaType.HTML, headers=_HEADERS, status_code=status_code,
    )  # fmt: skip


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.globals.update(
        words=formatting, shown=display_of, asset=asset, server_url=server_url
    )
    environment.filters["quoted"] = quoted
    return environment


@cache
def asset(name: str) -> str:
    """The address of a static file, which changes with its content."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:10]
    return f"/static/{name}?v={digest}"


def quoted(name: str) -> str:
    """A name from outside, which may hold anything, as one part of an address."""
    return quote(name, safe="")


def server_url(server: str) -> str:
    """The address of a server's page."""
    return f"/servers/{quoted(server)}"
