"""The time machine: `?at=` shows on every page what was known at that time."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from litestar import Request

from web.http_errors import HttpRejection
from web.prefix import prefix_of

__all__ = ["STEPS", "carried", "earlier_time", "place_in_time", "time_of"]

SiteRequest = Request[Any, Any, Any]
# Links from a time to others nearby.
STEPS = (("24 h earlier", -24), ("1 h earlier", -1), ("1 h later", 1), ("24 h later", 24))
_LINK = re.compile(
    r'( (?:href|hx-get|data-charts)=")'
    r'(/(?!/|(?:[^"]*/)?static/)[^"#]*)(#[^"]*)?("(?! data-present))'
)
_FORM = re.compile(r'<form(?![^>]*method="(?:post|dialog)")[^>]*>', re.IGNORECASE)
# What was known then cannot be answered now; one can still log out.
_ACTION = re.compile(
    r'<form(?=[^>]*method="post")(?![^>]*action="[^"]*/log(?:in|out)")[^>]*>.*?</form>',
    re.IGNORECASE | re.DOTALL,
)
_LIVE = re.compile(r' hx-trigger="[^"]*(?:sse:|every )[^"]*"')


def earlier_time(request: SiteRequest) -> datetime | None:
    """Return the time that `?at=` asks for; None: the present.

    Raises HttpRejection for one that cannot be shown, once: the answer to it is of the present.
    """
    state = request.scope["state"]
    if "hoursight_earlier" not in state:
        state["hoursight_earlier"] = None
        text = request.query_params.get("at", "").strip()
        state["hoursight_earlier"] = _parsed(text) if text else None
    at: datetime | None = state["hoursight_earlier"]
    return at


def _parsed(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
        at = (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise HttpRejection(
            400, f"at is {text[:60]!r}, which is not a time",
            "write it as 2026-11-20T03:00Z; without a zone it is UTC",
        ) from None  # fmt: skip
    if at > datetime.now(UTC):
        raise HttpRejection(
            400, f"at is {text[:60]!r}, which lies ahead",
            "leave it out: what is expected is on the page of the present",
        )  # fmt: skip
    return at


def time_of(request: SiteRequest) -> datetime:
    """Return the time that a request is about, the same for all of its queries and its page."""
    now: datetime
    state = request.scope["state"]
    if "hoursight_now" not in state:
        state["hoursight_now"] = earlier_time(request) or datetime.now(UTC)
    now = state["hoursight_now"]
    return now


def place_in_time(request: SiteRequest) -> dict[str, Any]:
    """Return what the head of a page says of its time: links to others, and back to the present.

    `earlier` is None on a page of the present.
    """
    at = earlier_time(request)
    shown = at or time_of(request)
    steps = [
        (label, _url(request, shown + timedelta(hours=hours)))
        for label, hours in STEPS
        if at is not None and shown + timedelta(hours=hours) <= datetime.now(UTC)
    ]
    kept = [(k, v) for k, v in request.query_params.multi_items() if k != "at"]
    return {
        "earlier": at, "present": _url(request, None), "steps": steps, "fields": kept,
        "path": _path(request), "shown": shown.strftime("%Y-%m-%dT%H:%M"),
    }  # fmt: skip


def _path(request: SiteRequest) -> str:
    return prefix_of(request.scope) + str(request.scope["path"])


def _url(request: SiteRequest, at: datetime | None) -> str:
    kept = [(k, v) for k, v in request.query_params.multi_items() if k != "at"]
    if at is not None:
        kept.append(("at", at.strftime("%Y-%m-%dT%H:%M:%SZ")))
    return _path(request) + (f"?{urlencode(kept)}" if kept else "")


def carried(html: str, at: datetime) -> str:
    """Return a page whose links and forms stay at the time `at`; it does not refresh, and has no
    forms that act.
    """
    text = at.strftime("%Y-%m-%dT%H:%M:%SZ")

    def with_time(match: re.Match[str]) -> str:
        if re.search(r"[?;&]at=", match[2]):
            return match[0]
        joint = "&amp;" if "?" in match[2] else "?"
        return f"{match[1]}{match[2]}{joint}at={text}{match[3] or ''}{match[4]}"

    html = _ACTION.sub("", _LIVE.sub(' hx-trigger="refresh"', html))
    html = _FORM.sub(lambda m: f'{m[0]}<input type="hidden" name="at" value="{text}">', html)
    return _LINK.sub(with_time, html)
