"""What the engine answers for the page of a server: a what-if, and a quiet hour."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from web.actions import Outcome, act
from web.display.what_if import WhatIf, what_if
from web.lake_session import LakeSession
from web.pages.server_choice import ServerChoice
from web.rendering import SiteRequest

__all__ = ["Answers", "Quiet", "ask"]

REFUSED = 422  # the status of a call whose fields cannot be used


@dataclass(frozen=True, slots=True)
class Quiet:
    """When the server can be away, in words; `wait` is None where that is not known."""

    text: str
    wait: bool | None
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers to what was chosen; None where nothing was."""

    what_if: WhatIf | None = None
    quiet: Quiet | None = None

    @property
    def rows(self) -> Sequence[Mapping[str, Any]]:
        """The forecast of the what-if, a row for each metric."""
        return self.what_if.rows if self.what_if else ()

    @property
    def status_code(self) -> int:
        """The HTTP status of the page: 400 if a field cannot be used."""
        refused = [each.refused for each in (self.what_if, self.quiet) if each is not None]
        return 400 if any(refused) else 200


async def ask(
    request: SiteRequest, lake: LakeSession, server: str, choice: ServerChoice
) -> Answers:
    """Let the engine answer what was chosen; nothing is stored."""
    asked_what_if, quiet = None, None
    if choice.changes:
        body = {"server": server, "set": choice.changes}
        outcome = await act(request, lake, "what_if", body, only_reads=True)
        asked_what_if = what_if(
            choice.changes, outcome.answer.get("answer"), outcome.error, outcome.status == REFUSED
        )
    if choice.quiet:
        body = {"server": server, "lasts": choice.quiet, "within": choice.within or "8h"}
        quiet = _quiet(await act(request, lake, "quiet_hour", body, only_reads=True))
    return Answers(asked_what_if, quiet)


def _quiet(outcome: Outcome) -> Quiet:
    answer = outcome.answer.get("answer")
    if answer is None:
        return Quiet(f"Not known: {outcome.error}", None, outcome.status == REFUSED)
    return Quiet(answer["text"], answer["wait"])
