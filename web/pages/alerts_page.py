"""The alerts page: open episodes, the worst first, what came of earlier ones, and the record."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlencode

import pyarrow as pa
from anyio import to_thread
from litestar import Response, get, post
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect

from web.actions import act, actor_of, back_to
from web.auth import OPERATE
from web.display import exports
from web.display.episodes import (
    EPOCH,
    OUTCOMES,
    SEVERITY_NAMES,
    ClosedEpisode,
    OpenEpisode,
    Record,
    record_of,
)
from web.display.system_status import SystemStatus, system_status
from web.lake_session import LakeSession, sql
from web.operations import JSON, PAGE, answering
from web.query_links import query_url
from web.rendering import SiteRequest, TheLake, TheTime, page, quoted

__all__ = ["alerts_active", "alerts_export", "alerts_page", "answer_alert", "form_of"]

PAGE_ROWS = 50
# What a button does: the kind of its mark, and what the page says afterwards.
ANSWERS = {
    "acknowledge": ("acknowledged", "Acknowledged: it does not escalate any more."),
    "acting": ("acting", "Noted: you act on it. If no breach follows it counts as averted."),
    "close": ("closed", "It will be closed within a minute."),
    "silence": ("silence", "Silenced: events are recorded and nobody is notified."),
}
MAX_NOTE = 500
MAX_NUMBER = 1_000_000


@dataclass(frozen=True, slots=True)
class HistoryFilter:
    """What of the history is listed; an empty field matches everything. `page` counts from 1."""

    outcome: str = ""
    rule: str = ""
    server: str = ""
    page: int = 1

    def link(self, page_number: int) -> str:
        """Return the path of the same list at another page."""
        fields = {"outcome": self.outcome, "rule": self.rule, "server": self.server}
        shown = {name: value for name, value in fields.items() if value}
        return f"/alerts?{urlencode(shown | {'page_number': page_number})}#history"


@dataclass(frozen=True, slots=True)
class AlertsView:
    """Data of the alerts page."""

    system: SystemStatus
    record: Record
    open: tuple[OpenEpisode, ...]
    open_total: int
    history: tuple[ClosedEpisode, ...]
    history_total: int
    filter: HistoryFilter
    links: dict[str, str]

    @property
    def pages(self) -> int:
        """How many pages the history has."""
        return max(1, -(-self.history_total // PAGE_ROWS))


def read_alerts(
    lake: LakeSession, history: HistoryFilter, now: datetime, show: int = PAGE_ROWS
) -> AlertsView:
    """Return the episodes as of `now` from one snapshot."""
    opened = {
        "now": now, "severities": list(SEVERITY_NAMES), "episode": "", "rows": show, "skip": 0,
    }  # fmt: skip
    ended = {
        "now": now, "outcome": history.outcome, "rule": history.rule, "server": history.server,
        "rows": PAGE_ROWS, "skip": PAGE_ROWS * (history.page - 1),
    }  # fmt: skip
    every = {"now": now, "since": EPOCH, "until": now + timedelta(minutes=1)}
    with lake.snapshot() as reader:
        system = system_status(reader, lake.folders, now)
        open_rows = reader.query(sql("alerts_open"), **opened).to_pylist()
        ended_rows = reader.query(sql("alerts_history"), **ended).to_pylist()
        record = record_of(reader.query(sql("alerts_record"), **every).to_pylist()[0])
    links = {
        "open": query_url("alerts_open", **opened),
        "history": query_url("alerts_history", **ended),
        "record": query_url("alerts_record", **every),
    }
    return AlertsView(
        system, record, tuple(OpenEpisode(row, now) for row in open_rows), _total(open_rows),
        tuple(map(ClosedEpisode, ended_rows)), _total(ended_rows), history, links,
    )  # fmt: skip


def _bounded(number: int) -> int:
    return min(max(1, number), MAX_NUMBER)


def _total(rows: Sequence[dict[str, Any]]) -> int:
    return rows[0]["total"] if rows else 0


@get(
    "/alerts", sync_to_thread=True, summary="Alerts page: open episodes, history and record",
    operation_class=answering(PAGE),
)  # fmt: skip
def alerts_page(
    request: SiteRequest,
    lake: TheLake,
    request_time: TheTime,
    outcome: FromQuery[str] = "",
    rule: FromQuery[str] = "",
    server: FromQuery[str] = "",
    show: FromQuery[int] = PAGE_ROWS,
    page_number: FromQuery[int] = 1,
) -> Response[str]:
    """HTML; for requests of htmx only the fragment that changes."""
    history = HistoryFilter(outcome, rule, server, _bounded(page_number))
    view = read_alerts(lake, history, request_time, _bounded(show))
    return page(
        request, "alerts", now=request_time, view=view, system=view.system,
        problems=view.system.problems, outcomes=OUTCOMES, page_rows=PAGE_ROWS,
    )  # fmt: skip


@get(
    exports.paths("/alerts"), summary="All episodes as data",
    operation_class=answering(*exports.MEDIA_TYPES),
)  # fmt: skip
async def alerts_export(
    request: SiteRequest, lake: TheLake, request_time: TheTime
) -> Response[bytes]:
    """The view `alerts` as JSON, CSV or Parquet: open episodes first, then the newest."""
    return await exports.exported(request, "alerts", partial(_exported_rows, lake, request_time))


def _exported_rows(lake: LakeSession, now: datetime) -> pa.Table:
    with lake.snapshot() as reader:
        return reader.query(sql("alerts"), now=now)


@get(
    ["/alerts/active", "/api/v1/alerts/active"], summary="Open episodes as JSON, the worst first",
    operation_class=answering(JSON),
)  # fmt: skip
async def alerts_active(lake: TheLake, request_time: TheTime) -> Response[bytes]:
    """The rows of the view `alerts` that are open."""
    return await to_thread.run_sync(_active, lake, request_time)


def _active(lake: LakeSession, now: datetime) -> Response[bytes]:
    with lake.snapshot() as reader:
        rows = reader.query(sql("alerts_active"), now=now, severities=list(SEVERITY_NAMES))
    return exports.export_response(rows, "json", "alerts")


@post(
    "/alerts/{episode:str}/{answer:str}", status_code=303, summary="Answer an alert", opt=OPERATE,
    operation_class=answering(PAGE),
)  # fmt: skip
async def answer_alert(
    request: SiteRequest,
    lake: TheLake,
    request_time: TheTime,
    episode: FromPath[str],
    answer: FromPath[str],
) -> Redirect:
    """Record an answer to an episode: acknowledge, acting, close or silence; then its page."""
    form = await form_of(request)
    path = form.get("back") or f"/alerts/{quoted(episode)}"
    if answer not in ANSWERS:
        return back_to(path, f"{answer!r} is no answer (expected {', '.join(ANSWERS)})", True)
    kind, said = ANSWERS[answer]
    try:
        target = await to_thread.run_sync(_target, lake, episode, request_time, kind)
    except KeyError:
        return back_to("/alerts", f"There is no episode {episode!r}.", failed=True)
    mark = {"kind": kind, "made_by": actor_of(request), "note": form.get("note") or None}
    lasts = {"lasts": form.get("lasts") or "2h"} if kind == "silence" else {}
    outcome = await act(request, lake, "mark", mark | target | lasts)
    return back_to(path, outcome.error or said, outcome.failed)


def _target(lake: LakeSession, episode: str, now: datetime, kind: str) -> dict[str, str | None]:
    """Return what a mark is about: the episode, or for a silence its server and metric.

    Raises KeyError for an episode that is not known.
    """
    with lake.snapshot() as reader:
        rows = reader.query(sql("episode_target"), episode=episode, now=now).to_pylist()
    if not rows:
        raise KeyError(episode)
    if kind != "silence":
        return {"episode": episode}
    return {"server": rows[0]["server"], "metric": rows[0]["metric"]}


async def form_of(request: SiteRequest, longest: int = MAX_NOTE) -> dict[str, str]:
    """Return the text fields of a form without space around them, each cut at `longest`."""
    fields = (await request.form()).multi_items()
    return {name: value.strip()[:longest] for name, value in fields if isinstance(value, str)}
