"""The page of alert rules: what is in force, its proof, a trial, silences, and deliveries."""

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import msgspec
from anyio import to_thread
from litestar import Response, get, post
from litestar.response import Redirect

from web.actions import act, actor_of, back_to
from web.auth import OPERATE
from web.display.episode_life import delivery_text
from web.display.episodes import metric_label
from web.display.rules import (
    RulesInForce,
    ShownRule,
    TrialResult,
    trial_cost,
    trial_results,
    with_proof,
)
from web.display.system_status import SystemStatus, system_status
from web.http_errors import Overloaded
from web.lake_session import LakeSession, sql
from web.operations import PAGE, answering
from web.pages.alerts_page import form_of
from web.query_links import query_url
from web.rendering import SiteRequest, TheLake, TheTime, page
from web.turns import Turns

__all__ = ["rules_page", "silence_servers", "try_rule"]

RULES_PATH = "/alerts/rules"
DEFAULT_DAYS = 7.0
MAX_RULE_TEXT = 20_000
_QUERIES = ("rule_quality", "silences", "muted_events", "deliveries")


@dataclass(frozen=True, slots=True)
class Trying:
    """What is tried on the page and what came of it; `error` says why nothing did."""

    rule: str = ""
    toml: str = ""
    days: float = DEFAULT_DAYS
    answer: Mapping[str, Any] | None = None
    error: str = ""

    @property
    def results(self) -> list[TrialResult]:
        """The results, one a rule."""
        return list(trial_results(self.answer)) if self.answer else []


@dataclass(frozen=True, slots=True)
class RulesView:
    """Data of the page of rules; `trouble` says why the engine did not tell the rules."""

    system: SystemStatus
    rules: tuple[ShownRule, ...]
    in_force: RulesInForce
    trouble: str
    silences: list[dict[str, Any]]
    muted: list[dict[str, Any]]
    deliveries: list[tuple[dict[str, Any], str]]
    servers: int
    links: dict[str, str] = field(default_factory=dict)


def read_rules(lake: LakeSession, in_force: RulesInForce, trouble: str, now: datetime) -> RulesView:
    """Return what the lake has about the rules as of `now`, from one snapshot."""
    with lake.snapshot() as reader:
        system = system_status(reader, lake.folders, now)
        rows = {name: reader.query(sql(name), now=now).to_pylist() for name in _QUERIES}
        servers = reader.query(sql("server_count"), now=now)["servers"][0].as_py()
    return RulesView(
        system, with_proof(in_force.rules, rows["rule_quality"]), in_force, trouble,
        rows["silences"], rows["muted_events"],
        [(row, delivery_text(row, now)) for row in rows["deliveries"]], servers,
        {name: query_url(name, now=now) for name in _QUERIES},
    )  # fmt: skip


async def _page(
    request: SiteRequest, lake: LakeSession, now: datetime, trying: Trying
) -> Response[str]:
    outcome = await act(request, lake, "alert_rules", {}, only_reads=True)
    in_force, trouble = RulesInForce(), outcome.error
    if not outcome.failed:
        in_force = msgspec.convert(outcome.answer.get("answer") or {}, RulesInForce)
    view = await to_thread.run_sync(read_rules, lake, in_force, trouble, now)

    def render() -> Response[str]:
        return page(
            request, "rules", now=now, view=view, system=view.system,
            problems=view.system.problems, trying=trying, metric_label=metric_label,
            cost=trial_cost(view.servers, trying.days),
        )  # fmt: skip

    return await to_thread.run_sync(render)


@get(
    RULES_PATH, summary="Alert rules with their proof, silences, windows and deliveries",
    operation_class=answering(PAGE),
)  # fmt: skip
async def rules_page(request: SiteRequest, lake: TheLake, request_time: TheTime) -> Response[str]:
    """HTML; for requests of htmx only the fragment that changes."""
    return await _page(request, lake, request_time, Trying())


@post(
    f"{RULES_PATH}/try", status_code=200, summary="Try a rule on the stored history", opt=OPERATE,
    operation_class=answering(PAGE),
)  # fmt: skip
async def try_rule(request: SiteRequest, lake: TheLake, request_time: TheTime) -> Response[str]:
    """The page with what the rule of the form would have done; nothing is saved."""
    form = await form_of(request, MAX_RULE_TEXT)
    days = _days(form.get("days", ""))
    text = form.get("toml", "")
    trying = Trying("" if text else form.get("rule", ""), text, days)
    body = {"toml": text} if text else {"rule": trying.rule}
    turns: Turns = request.app.state.trial_turns
    try:
        async with turns.turn():
            outcome = await act(
                request, lake, "alert_trial", body | {"days": days}, only_reads=True
            )  # fmt: skip
    except Overloaded as error:
        return await _page(request, lake, request_time, replace(trying, error=str(error)))
    answer = outcome.answer.get("answer")
    tried = replace(trying, answer=answer, error=outcome.error)
    return await _page(request, lake, request_time, tried)


def _days(text: str) -> float:
    """Return the number in a form; where it is none, the default."""
    with suppress(ValueError):
        days = float(text)
        return days if math.isfinite(days) else DEFAULT_DAYS
    return DEFAULT_DAYS


@post(
    f"{RULES_PATH}/silence", status_code=303, summary="Silence servers, or end a silence",
    opt=OPERATE, operation_class=answering(PAGE),
)  # fmt: skip
async def silence_servers(request: SiteRequest, lake: TheLake) -> Redirect:
    """Record a silence of a glob of servers; with `end` the end of one with the same target."""
    form = await form_of(request)
    ends = form.get("end")
    target = {n: form[n] for n in ("server", "pattern", "episode", "metric") if form.get(n)}
    mark: dict[str, Any] = {"kind": "unsilence" if ends else "silence"} | target
    mark |= {"made_by": actor_of(request), "note": form.get("note") or None}
    if form.get("lasts") and not ends:
        mark["lasts"] = form["lasts"]
    outcome = await act(request, lake, "mark", mark)
    said = "The silence ends within a minute." if ends else "Silenced from now on."
    return back_to(f"{RULES_PATH}#silences", outcome.error or said, outcome.failed)
