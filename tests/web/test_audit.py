"""Entries of the audit for calls: what was done, to what, and what came of it."""

from typing import Any

import pytest
from litestar.testing import RequestFactory

from web.audit import noted_call
from web.audit_trail import Entry
from web.identity import Identity


class Trail:
    """A trail that remembers."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def note(self, entry: Entry) -> None:
        self.entries.append(entry)


def entry_of(function: str, body: Any, error: str = "", status: int = 200, **who: str) -> Entry:
    request = RequestFactory().post("/")
    request.app.state.audit = trail = Trail()
    request.scope["state"]["hoursight_identity"] = Identity.of_role("user", "ann", "operator")
    noted_call(request, function, body, error, status, **who)
    (entry,) = trail.entries
    return entry


@pytest.mark.parametrize(
    ("function", "body", "expected"),
    [
        ("mark", {"kind": "silence", "pattern": "web-*", "lasts": "2h", "made_by": "x"},
         ("silence", "web-*", "lasts 2h")),
        ("mark", {"kind": "acknowledged", "episode": "e1", "server": "a"},
         ("acknowledged", "e1", None)),
        ("mark", [{"kind": "deploy"}, {"kind": "deploy"}], ("mark", None, "2 at once")),
        ("risk", None, ("risk", "risk", None)),
        ("train", {"reason": "drift"}, ("train", "train", "reason drift")),
    ],
)  # fmt: skip
def test_a_call_is_noted_by_what_it_is_about(function, body, expected) -> None:
    entry = entry_of(function, body)
    assert (entry.action, entry.target, entry.detail) == expected
    assert (entry.actor, entry.role, entry.shown_by) == ("ann", "operator", "user")


@pytest.mark.parametrize(
    ("error", "status", "outcome"),
    [("", 200, "done"), ("no such episode", 422, "refused"), ("KeyError", 500, "failed")],
)
def test_what_did_not_succeed_is_noted_with_the_reason(error, status, outcome) -> None:
    entry = entry_of("mark", {"kind": "closed"}, error, status)
    assert (entry.outcome, entry.reason) == (outcome, error or None)


def test_who_acted_may_be_said_by_the_page() -> None:
    entry = entry_of("mark", {"kind": "acting"}, actor="link sent to ops", shown_by="link")
    assert (entry.actor, entry.shown_by) == ("link sent to ops", "link")
