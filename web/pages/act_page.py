"""The page of a one-time link: acknowledge an alert, or say that one acts on it, without a key.

Mail scanners open links, so a GET changes nothing; the buttons of the page post.
"""

import asyncio
from typing import Any, Literal

from litestar import Response, get, post
from litestar.params import FromPath

from storage.config.signed_links import LinkClaim, LinkInvalid, LinkUsed, SignedLinks
from web.actions import act as perform
from web.auth import OPEN
from web.operations import PAGE, answering
from web.rendering import SiteRequest, TheLake, page, time_of

__all__ = ["act_page", "act_post"]

Act = Literal["acknowledged", "acting"]
DONE = {
    "acknowledged": "Acknowledged. It will not escalate.",
    "acting": "Noted: you act on it. It will not escalate, and does not count as a false alarm.",
}


@get(
    "/act/{token:str}", summary="The page of a one-time link", opt=OPEN,
    operation_class=answering(PAGE),
)  # fmt: skip
async def act_page(request: SiteRequest, lake: TheLake, token: FromPath[str]) -> Response[str]:
    """Show what the link can do; change nothing."""
    links = SignedLinks(lake.folders)
    try:
        claim = links.claim(token, time_of(request))
    except LinkInvalid as error:
        return _page(request, 403, error.message, error.remedy or "")
    used = {act for act in DONE if links.is_used(claim, act)}
    return _page(request, 200, "Alert", "", claim=claim, token=token, used=used)


@post(
    "/act/{token:str}/{act:str}", status_code=200, summary="Act by a one-time link", opt=OPEN,
    operation_class=answering(PAGE),
)  # fmt: skip
async def act_post(
    request: SiteRequest, lake: TheLake, token: FromPath[str], act: FromPath[Act]
) -> Response[str]:
    """Record the act, once. 403: not a valid link; 409: used before; 503: no engine."""
    links = SignedLinks(lake.folders)
    try:
        claim = links.claim(token, time_of(request))
        await asyncio.to_thread(links.begin, claim, act)
    except LinkInvalid as error:
        return _page(request, 403, error.message, error.remedy or "")
    except LinkUsed as error:
        return _page(request, 409, error.message, error.remedy or "")
    problem = await _mark(request, lake, claim, act)
    if problem is not None:
        links.undo(claim, act)
        return _page(request, 503, problem, "try again, or acknowledge it on the site")
    await asyncio.to_thread(links.finish, claim, act)
    return _page(request, 200, DONE[act], "")


async def _mark(request: SiteRequest, lake: TheLake, claim: LinkClaim, act: str) -> str | None:
    """Let the engine record the mark; return what went wrong, or None."""
    actor = f"link sent to {claim.channel}"
    mark = {
        "kind": act, "episode": claim.episode, "made_by": actor,
        "mark": f"link-{claim.episode}-{claim.channel}-{act}",
    }  # fmt: skip
    outcome = await perform(request, lake, "mark", mark, actor=actor, shown_by="link")
    return outcome.error or None


def _page(
    request: SiteRequest, status_code: int, headline: str, remedy: str, **context: Any
) -> Response[str]:
    shown = {"claim": None, "token": "", "used": set()} | context
    return page(request, "act", status_code=status_code, headline=headline, remedy=remedy, **shown)
