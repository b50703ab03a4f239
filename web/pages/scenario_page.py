"""The scenario page: what the simulated fleet plays, what runs in it now, and switches."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from anyio import to_thread
from litestar import Response, get, post
from litestar.response import Redirect

from storage.config.settings import settings_in_force
from web.actions import act, back_to
from web.auth import OPERATE
from web.display.system_status import SystemStatus, system_status
from web.lake_session import LakeSession, sql
from web.operations import PAGE, answering
from web.pages.alerts_page import form_of
from web.query_links import query_url
from web.rendering import SiteRequest, TheLake, TheTime, page

__all__ = ["scenario_page", "switch_scenario"]

SCENARIO_PATH = "/scenario"
# Each scenario of the simulator with what an operator sees of it; the engine checks the name.
MEANINGS = {
    "healthy": "No incident.",
    "mixed": "Most servers are well, a few have an incident at a time; the scenario at the start.",
    "degrading": "Slow incidents on many servers, which forecasts see hours ahead.",
    "critical": "Fast and deep incidents on many servers.",
    "cascade": "A database fails, and servers that depend on it follow.",
}
FIRST = "mixed"
_QUERIES = ("scenarios", "incidents_now")


@dataclass(frozen=True, slots=True)
class ScenarioView:
    """Data of the page of the scenario."""

    system: SystemStatus
    enabled: bool
    switches: list[dict[str, Any]]
    incidents: list[dict[str, Any]]
    links: dict[str, str]

    @property
    def playing(self) -> str:
        """The scenario that plays."""
        return str(self.switches[0]["scenario"]) if self.switches else FIRST


def read_scenario(lake: LakeSession, now: datetime) -> ScenarioView:
    """Return what plays as of `now`, from one snapshot."""
    enabled = settings_in_force(lake.folders.data).sources.simulator.enabled
    with lake.snapshot() as reader:
        system = system_status(reader, lake.folders, now)
        rows = {name: reader.query(sql(name), now=now).to_pylist() for name in _QUERIES}
    links = {name: query_url(name, now=now) for name in _QUERIES}
    return ScenarioView(system, enabled, rows["scenarios"], rows["incidents_now"], links)


@get(
    SCENARIO_PATH, summary="Scenario of the simulated fleet", operation_class=answering(PAGE)
)  # fmt: skip
async def scenario_page(
    request: SiteRequest, lake: TheLake, request_time: TheTime
) -> Response[str]:
    """HTML; for requests of htmx only the fragment that changes."""

    def render() -> Response[str]:
        view = read_scenario(lake, request_time)
        return page(
            request, "scenario", now=request_time, view=view, system=view.system,
            problems=view.system.problems, meanings=MEANINGS, data=lake.folders.data,
        )  # fmt: skip

    return await to_thread.run_sync(render)


@post(
    SCENARIO_PATH, status_code=303, summary="Switch the scenario of the simulated fleet",
    opt=OPERATE, operation_class=answering(PAGE),
)  # fmt: skip
async def switch_scenario(request: SiteRequest, lake: TheLake) -> Redirect:
    """Let the form's `scenario` play from now on."""
    name = (await form_of(request)).get("scenario", "")
    outcome = await act(request, lake, "scenario", {"scenario": name})
    said = f"{name} plays from now on; it shows within seconds."
    return back_to(SCENARIO_PATH, outcome.error or said, outcome.failed)
