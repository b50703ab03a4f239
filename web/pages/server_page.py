"""The page of one server: its status, its charts, and its exports."""

from datetime import datetime, timedelta
from typing import Any

from anyio import to_thread
from litestar import Response, get
from litestar.params import FromPath, FromQuery

from web.display import exports
from web.display.server_status import ServerStatus
from web.display.spans import SPANS, usual_span
from web.display.system_status import system_status
from web.lake_session import LakeSession, sql
from web.operations import JSON, PAGE, answering
from web.pages.server_answers import Answers, ask
from web.pages.server_choice import Changes, ServerChoice, Since, Until
from web.pages.server_view import SAID, ServerView, facts_of, known_server, read_server
from web.rendering import SiteRequest, TheLake, TheTime, page, time_of

__all__ = ["chart_data", "server_page"]


def _export(lake: LakeSession, name: str, extension: str, now: datetime) -> Response[bytes]:
    if extension == "json":
        view = read_server(lake, name, now, usual_span(now))
        return Response(exports.encode_json(_as_json(view)), media_type="application/json")
    with lake.snapshot() as reader:
        system = system_status(reader, lake.folders, now, lake.kept)
        known_server(reader, name, now, system, lake.kept)
        rows = reader.query(
            sql("server_points"), server=name, start=now - timedelta(hours=24), now=now
        )
    return exports.export_response(rows, extension, name)


def _as_json(view: ServerView) -> dict[str, Any]:
    server = view.server
    return {
        **{name: getattr(server, name) for name in ServerStatus.__dataclass_fields__},
        "score": server.score, "severity": server.scored.name, "no_data": server.stale,
        "respond_within_minutes": server.respond_within_minutes, "next_step": view.next_step,
        "model": view.trust.model,
        "trust": [
            {
                "metric": each.display.name, "state": each.state, "why": each.why,
                "skill": each.skill, "hours": each.hours, "missing": each.missing,
            }
            for each in view.trust.metrics
        ],
        "metric_odds": [
            {
                "metric": each.display.name, "level": each.level, "odds": each.odds,
                "earliest": each.earliest, "likely": each.likely, "latest": each.latest,
                "drivers": each.drivers,
            }
            for each in view.odds
        ],
        "odds_checked": view.odds_record.checked, "episodes": view.episodes,
        "charts": view.charts.as_json(),
    }  # fmt: skip


# Not with `sync_to_thread`: Litestar loses it where another handler has the same path.
@get(
    "/servers/{server:path}", summary="One server: page or data",
    operation_class=answering(PAGE, *exports.MEDIA_TYPES),
)  # fmt: skip
async def server_page(
    request: SiteRequest, lake: TheLake, server: FromPath[str],
    last: FromQuery[str] = "", since: Since = "", until: Until = "", said: FromQuery[str] = "",
    changes: Changes = "", quiet: FromQuery[str] = "", within: FromQuery[str] = "",
) -> Response[Any]:  # fmt: skip
    """HTML; with .json, .csv or .parquet after the name the same as data.

    `last` is a period such as 7d, or `from` and `to` are times: what the charts show. `said` is 1h,
    2h, 4h or 8h: the forecast made so long ago is drawn over what happened. `set` is what would be
    different, such as `mem_used_pct:-20%,traffic:x1.5`: the model's answer is drawn, and nothing
    stored. `quiet` is a period: when the server can be away so long with the least harm.
    """
    name = server.removeprefix("/")
    choice = ServerChoice(last, since, until, said, changes, quiet, within)
    if await to_thread.run_sync(_is_export, lake, name, time_of(request)):
        stem, _, extension = name.rpartition(".")
        return await to_thread.run_sync(_export, lake, stem, extension, time_of(request))
    is_fragment = bool(request.htmx) and not request.htmx.history_restore_request
    answers = await ask(request, lake, name, ServerChoice() if is_fragment else choice)
    return await to_thread.run_sync(_page, request, lake, name, choice, answers)


def _is_export(lake: LakeSession, name: str, now: datetime) -> bool:
    """Return True for the name of a server and an ending, unless a server has just that name."""
    stem, _, extension = name.rpartition(".")
    if not stem or extension not in exports.FORMATS:
        return False
    with lake.snapshot() as reader:
        return facts_of(reader, name, now, lake.kept) is None


def _page(
    request: SiteRequest, lake: LakeSession, name: str, choice: ServerChoice, answers: Answers
) -> Response[Any]:
    now = time_of(request)
    view = read_server(lake, name, now, choice.span(now), choice.said, answers.rows)
    return page(
        request, "server", now=now, view=view, system=view.system, status_code=answers.status_code,
        problems=view.system.problems, choice=choice, answers=answers, spans=SPANS, all_said=SAID,
    )  # fmt: skip


@get(
    "/charts/{server:path}", summary="Chart data of one server", operation_class=answering(JSON),
)  # fmt: skip
async def chart_data(
    request: SiteRequest, lake: TheLake, request_time: TheTime, server: FromPath[str],
    last: FromQuery[str] = "", since: Since = "", until: Until = "", said: FromQuery[str] = "",
    changes: Changes = "",
) -> Response[bytes]:  # fmt: skip
    """Measured means and forecast quantiles of each metric on one time axis.

    `measured` begins at `start`, `ahead` at step `issued`; null is a gap. A step has `step`
    seconds, and where that is more than 300, `spread` has its least and largest 5-minute mean.
    """
    name, choice = server.removeprefix("/"), ServerChoice(last, since, until, said, changes)
    answers = await ask(request, lake, name, choice)
    view = await to_thread.run_sync(
        read_server, lake, name, request_time, choice.span(request_time), said, answers.rows
    )
    return Response(
        exports.encode_json(view.charts.as_json()),
        media_type="application/json", headers={"Cache-Control": "no-store"},
    )  # fmt: skip
