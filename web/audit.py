"""Entries of the audit for what a request did: who sent it, by what role, and from where."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from litestar.connection import ASGIConnection

from web.access_trace import address_of
from web.audit_trail import AuditTrail, Entry
from web.identity import Identity

__all__ = ["LOCAL", "noted", "noted_call"]

# Who sends a request that needs no key.
LOCAL = "local"
# Of the body of a call: what it is about.
TARGETS = ("episode", "server", "pattern", "name", "model", "function", "rule")


def noted(
    request: ASGIConnection[Any, Any, Any, Any],
    action: str,
    *,
    actor: str | None = None,
    shown_by: str | None = None,
    target: str | None = None,
    detail: str | None = None,
    error: str = "",
    status: int = 200,
) -> None:
    """Note what the sender of a request did, or with `error` tried.

    `actor` and `shown_by` say who it was where the request itself does not. A status of 4xx means
    that it was refused, one of 5xx that it failed.
    """
    identity: Identity | None = request.scope["state"].get("hoursight_identity")
    outcome = "done" if not error else "failed" if status >= 500 else "refused"
    trail: AuditTrail = request.app.state.audit
    entry = Entry(
        datetime.now(UTC), actor or (identity.name if identity else LOCAL), action, outcome,
        role=identity.role if identity else None,
        shown_by=shown_by or (identity.kind if identity else LOCAL),
        target=target, detail=detail, address=address_of(request.scope), reason=error or None,
    )  # fmt: skip
    if action == "login" and error:
        trail.note_failed_login(entry)
    else:
        trail.note(entry)


def noted_call(
    request: ASGIConnection[Any, Any, Any, Any],
    function: str,
    body: Any,
    error: str,
    status: int,
    **who: str | None,
) -> None:
    """Note a call of a function; of a mark, what kind it is. `who` are actor and shown_by."""
    given: Mapping[str, Any] = body if isinstance(body, dict) else {}
    action = str(given.get("kind") or function) if function == "mark" else function
    target = next((str(given[name]) for name in TARGETS if given.get(name)), None)
    rest = {
        k: v for k, v in given.items() if k not in ("kind", "made_by", *TARGETS) and v is not None
    }
    detail = "; ".join(f"{name} {value}" for name, value in rest.items()) or None
    if isinstance(body, list):
        detail = f"{len(body)} at once"
    noted(
        request, action, target=target or (function if function != "mark" else None),
        detail=detail, error=error, status=status, **who,
    )  # fmt: skip
