"""The page of one episode: its life, what was forecast and what came, messages and reasons."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from anyio import to_thread
from litestar import Response, get, post
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from storage.errors import HoursightError
from storage.model.grid import STEP
from storage.query.reader import Reader
from web.actions import act
from web.auth import OPERATE
from web.display.episode_chart import AFTER, BEFORE, EpisodeChart, episode_chart
from web.display.episode_life import Station, delivery_text, life_line
from web.display.episodes import ClosedEpisode, OpenEpisode, metric_label, metric_value
from web.display.system_status import SystemStatus, system_status
from web.lake_session import LakeSession, sql
from web.operations import PAGE, answering
from web.pages.alerts_page import form_of
from web.query_links import query_url
from web.rendering import SiteRequest, TheLake, TheTime, page

__all__ = ["EpisodeNotFound", "episode_page", "message_preview"]


class EpisodeNotFound(HoursightError, NotFoundException):
    """No episode has that id."""

    def __init__(self, episode: str) -> None:
        super().__init__(f"episode {episode!r} not found")


@dataclass(frozen=True, slots=True)
class EpisodeView:
    """Data of the page of one episode."""

    system: SystemStatus
    row: Mapping[str, Any]
    open: OpenEpisode | None
    closed: ClosedEpisode | None
    line: tuple[Station, ...]
    events: list[dict[str, Any]]
    messages: list[tuple[dict[str, Any], str]]
    related: list[dict[str, Any]]
    cascades: list[dict[str, Any]]
    chart: EpisodeChart | None
    links: dict[str, str]

    @property
    def record_text(self) -> str:
        """What came of the warnings of its rule in 30 days, in words."""
        row = self.row
        if not row["warnings"] and not row["missed"]:
            return "no warning of this rule was judged yet"
        return (
            f"{row['correct']} right, {row['wrong']} wrong, {row['withdrawn']} withdrawn, "
            f"{row['averted']} averted, {row['missed']} missed in 30 days"
        )


def read_episode(lake: LakeSession, episode: str, now: datetime) -> EpisodeView:
    """Return one episode as of `now` from one snapshot; raise EpisodeNotFound if it is unknown."""
    about = {"episode": episode, "now": now}
    with lake.snapshot() as reader:
        system = system_status(reader, lake.folders, now)
        rows = reader.query(sql("episode"), **about).to_pylist()
        if not rows:
            raise EpisodeNotFound(episode)
        row = rows[0]
        events = reader.query(sql("episode_events"), **about).to_pylist()
        deliveries = reader.query(sql("episode_deliveries"), **about).to_pylist()
        related = reader.query(sql("episode_related"), **about).to_pylist()
        near = {"server": row["server"], "since": row["opened_at"] - timedelta(hours=1), "now": now}
        cascades = reader.query(sql("episode_links"), **near).to_pylist()
        chart = _chart(reader, row, now) if row["metric"] else None
        opened = _opened(reader, row, now)
    links = {name: query_url(name, **about) for name in ("episode", "episode_events",
             "episode_deliveries", "episode_related")}  # fmt: skip
    messages = [(each, delivery_text(each, now)) for each in deliveries]
    return EpisodeView(
        system, row, opened, None if opened else ClosedEpisode(row), life_line(events, deliveries),
        events, messages, related, cascades, chart, links | _chart_links(row, now),
    )  # fmt: skip


def _opened(reader: Reader, row: Mapping[str, Any], now: datetime) -> OpenEpisode | None:
    """Return the episode with its newest odds and answer; None when it has ended."""
    if row["ended_at"] is not None:
        return None
    rows = reader.query(
        sql("alerts_open"), now=now, severities=[""], episode=row["episode"], rows=1, skip=0
    ).to_pylist()
    return OpenEpisode(rows[0], now) if rows else None


def _chart(reader: Reader, row: Mapping[str, Any], now: datetime) -> EpisodeChart:
    measured = reader.query(sql("episode_measured"), **_span(row, now))
    forecast = reader.query(sql("episode_forecast"), **_forecast_of(row))
    return episode_chart(row["metric"], row["threshold"], measured, forecast, row["opened_at"])


def _span(row: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    opened = row["opened_at"]
    return {
        "server": row["server"], "start": opened - BEFORE - STEP, "until": opened + AFTER,
        "now": now,
    }  # fmt: skip


def _forecast_of(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"server": row["server"], "metric": row["metric"], "opened": row["opened_at"]}


def _chart_links(row: Mapping[str, Any], now: datetime) -> dict[str, str]:
    return {
        "measured": query_url("episode_measured", **_span(row, now)),
        "forecast": query_url("episode_forecast", **_forecast_of(row)),
    }


@get(
    "/alerts/{episode:str}", sync_to_thread=True, summary="One episode of an alert",
    operation_class=answering(PAGE),
)  # fmt: skip
def episode_page(
    request: SiteRequest, lake: TheLake, request_time: TheTime, episode: FromPath[str]
) -> Response[str]:
    """HTML; for requests of htmx only the fragment that changes."""
    return _page(request, read_episode(lake, episode, request_time), request_time)


def _page(
    request: SiteRequest, view: EpisodeView, now: datetime, preview: str = "", channel: str = ""
) -> Response[str]:
    return page(
        request, "episode", now=now, view=view, system=view.system, problems=view.system.problems,
        metric_label=metric_label, metric_value=metric_value, preview=preview, channel=channel,
    )  # fmt: skip


@post(
    "/alerts/{episode:str}/message", status_code=200, summary="The exact bytes of a message",
    opt=OPERATE, operation_class=answering(PAGE),
)  # fmt: skip
async def message_preview(
    request: SiteRequest, lake: TheLake, request_time: TheTime, episode: FromPath[str]
) -> Response[str]:
    """The page of the episode with its message to one channel as it is sent, secrets masked."""
    channel = (await form_of(request)).get("channel", "")
    view = await to_thread.run_sync(read_episode, lake, episode, request_time)
    body = {"episode": episode, "channel": channel}
    outcome = await act(request, lake, "message_preview", body, only_reads=True)
    text = outcome.error or str(outcome.answer.get("answer", {}).get("text", ""))
    return await to_thread.run_sync(_page, request, view, request_time, text, channel)
