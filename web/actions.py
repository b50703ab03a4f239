"""What a person does on a page: a function of the engine is called, and the page says what came.

A form of a page posts without a script. The answer sends the browser back to the page that it came
from, which shows what was done, or why not, once.
"""

import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from typing import Any

import msgspec
from litestar.datastructures import Cookie
from litestar.response import Redirect

from web.audit import LOCAL, noted_call
from web.engine_calls import run_function
from web.identity import Identity
from web.lake_session import LakeSession
from web.rendering import NOTICE_COOKIE, Notice, SiteRequest

__all__ = ["Outcome", "act", "actor_of", "back_to", "local_path"]

NOTICE_SECONDS = 20
MAX_NOTICE = 600
_LOCAL_PATH = re.compile(r"/(?![/\\])[\x21-\x7e]*")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an action: the HTTP status, and why it failed; empty when it did not."""

    status: int
    error: str
    answer: dict[str, Any]

    @property
    def failed(self) -> bool:
        """Whether nothing was done."""
        return bool(self.error)


class _Run(msgspec.Struct, frozen=True):
    """What a page reads of the engine's answer."""

    error: str | None = None
    refused: int = 0
    reasons: list[str] = []


def actor_of(request: SiteRequest) -> str:
    """Return who sent the request: the name of the user or key, or `local` without one."""
    identity: Identity | None = request.scope["state"].get("hoursight_identity")
    return identity.name if identity else LOCAL


async def act(
    request: SiteRequest,
    lake: LakeSession,
    function: str,
    body: dict[str, Any],
    *,
    only_reads: bool = False,
    **who: str | None,
) -> Outcome:
    """Let the engine run `function` with `body`, and note it for the audit.

    One that `only_reads` leaves no row of its run, and none of the audit. `who` are `actor` and
    `shown_by`, where the request itself does not say who sent it.
    """
    call = {"name": function, "now": None, "dry_run": only_reads, "body": body}
    outcome = _judged(*await run_function(request, lake, call))
    if not only_reads:
        noted_call(request, function, body, outcome.error, outcome.status, **who)
    return outcome


def _judged(status: int, answer: bytes) -> Outcome:
    run = msgspec.json.decode(answer, type=_Run)
    if status == 200 and not run.refused:
        return Outcome(200, "", msgspec.json.decode(answer))
    error = "; ".join(run.reasons) or run.error or f"the engine answered {status}"
    return Outcome(status if status != 200 else 422, error, {})


def back_to(path: str, text: str, failed: bool = False) -> Redirect:
    """Return an answer that opens `path` of this site, which then shows `text` once."""
    notice = msgspec.json.encode(Notice(text[:MAX_NOTICE], failed))
    cookie = Cookie(
        NOTICE_COOKIE, value=urlsafe_b64encode(notice).decode(), max_age=NOTICE_SECONDS,
        httponly=True, samesite="strict",
    )  # fmt: skip
    return Redirect(local_path(path), status_code=303, cookies=[cookie])


def local_path(path: str) -> str:
    """Return a path of this site as it is, and `/` for anything else."""
    return path if _LOCAL_PATH.fullmatch(path) else "/"
