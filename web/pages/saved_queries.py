"""Saving and removing queries of the SQL page."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlencode

from anyio import to_thread
from litestar import post
from litestar.enums import RequestEncodingType
from litestar.params import Body
from litestar.response import Redirect

from storage.config.saved_queries import SavedQueries, SavedQuery, SavedQueryRefused
from web.actions import actor_of, back_to
from web.audit import noted
from web.auth import OPERATE
from web.operations import PAGE, answering
from web.rendering import SiteRequest, TheLake

__all__ = ["remove_query", "save_query"]


@dataclass(frozen=True, slots=True)
class SaveForm:
    """The form below the editor."""

    name: str
    q: str


@dataclass(frozen=True, slots=True)
class RemoveForm:
    """The button beside a saved query."""

    name: str


@post(
    "/sql/saved", opt=OPERATE, summary="Save a query under a name", operation_class=answering(PAGE)
)
async def save_query(
    request: SiteRequest,
    lake: TheLake,
    data: Annotated[SaveForm, Body(media_type=RequestEncodingType.URL_ENCODED)],
) -> Redirect:
    """Back to the SQL page, which says what came of it."""
    query = SavedQuery(data.name, data.q, actor_of(request), datetime.now(UTC))
    path = f"/sql?{urlencode({'q': data.q})}"
    try:
        replaced = await to_thread.run_sync(SavedQueries(lake.folders).save, query)
    except SavedQueryRefused as error:
        noted(request, "query saved", target=data.name, error=str(error), status=422)
        return back_to(path, str(error), failed=True)
    name = data.name.strip()
    noted(request, "query saved", target=name, detail=data.q)
    return back_to(path, f"Saved as {name!r}" + (", in place of the former" if replaced else ""))


@post(
    "/sql/saved/remove", opt=OPERATE, summary="Remove a saved query",
    operation_class=answering(PAGE),
)  # fmt: skip
async def remove_query(
    request: SiteRequest,
    lake: TheLake,
    data: Annotated[RemoveForm, Body(media_type=RequestEncodingType.URL_ENCODED)],
) -> Redirect:
    """Back to the SQL page, which says what came of it."""
    try:
        await to_thread.run_sync(SavedQueries(lake.folders).remove, data.name)
    except SavedQueryRefused as error:
        noted(request, "query removed", target=data.name, error=str(error), status=422)
        return back_to("/sql", str(error), failed=True)
    noted(request, "query removed", target=data.name)
    return back_to("/sql", f"Removed {data.name!r}")
