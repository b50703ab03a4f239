"""The fleet page: every server, worst first."""

from datetime import datetime
from functools import partial

import pyarrow as pa
from litestar import Response, get
from litestar.params import FromQuery

from storage.inbox import notify
from storage.model.profiles import PROFILE_NAMES
from storage.model.severity import HEALTH_STATUSES
from web.display import exports
from web.display.fleet_filter import GROUPS, PAGE_ROWS, FleetFilter
from web.display.fleet_table import FLEET_COLUMNS, fleet_table
from web.display.fleet_view import FleetRow, FleetView, read_fleet
from web.display.heat import CLASSES
from web.display.multiples import SORTS
from web.display.row_digests import DigestedFragment, digested
from web.display.tags import tags_in_force
from web.lake_session import LakeSession
from web.operations import PAGE, answering
from web.prefix import prefix_of
from web.rendering import SiteRequest, TheLake, TheTime, is_fragment, page

__all__ = ["FleetFilter", "FleetRow", "FleetView", "fleet_export", "fleet_page", "read_fleet"]

SHOWN = "Hoursight-Shown"
# Pages that ask within so many seconds, without a commit between, get the same fragment.
SHARED_SECONDS = 2


@get(
    "/", sync_to_thread=True, summary="Fleet page, worst server first",
    operation_class=answering(PAGE),
)  # fmt: skip
def fleet_page(
    request: SiteRequest,
    lake: TheLake,
    request_time: TheTime,
    q: FromQuery[str] = "",
    profile: FromQuery[str] = "",
    severity: FromQuery[str] = "",
    show: FromQuery[int] = PAGE_ROWS,
    site: FromQuery[str] = "",
    tag: FromQuery[str] = "",
    changed: FromQuery[bool] = False,
    group: FromQuery[str] = "",
    view: FromQuery[str] = "",
    metric: FromQuery[str] = "",
    sort: FromQuery[str] = "",
) -> Response[str] | Response[None]:
    """HTML; for requests of htmx only the fragment that changes.

    A request that names the rows which its page shows gets the others only, and 204 when it shows
    all of them. `view` is `heat`, or the name of a metric.
    """
    wanted = FleetFilter(
        q, profile, severity, max(1, show), site, tag, changed, group, view, metric, sort
    )
    if not is_fragment(request):
        answer = _rendered(request, lake, wanted, request_time)
        answer.content = digested(answer.content, {}).answer(()) or ""
        return answer
    fragment = _fragment(request, lake, wanted, request_time)
    html = fragment.answer(frozenset(request.headers.get(SHOWN, "").split()))
    if html is None:
        return Response(None, status_code=204, headers=fragment.headers)
    return Response(html, media_type="text/html", headers=fragment.headers)


def _fragment(
    request: SiteRequest, lake: LakeSession, wanted: FleetFilter, now: datetime
) -> DigestedFragment:
    """The fragment, the same for all pages of this URL until the next commit."""
    commits = tuple(notify.commit_times(lake.folders.data).items())
    url = (prefix_of(request.scope), request.url.query)
    version = (commits, int(now.timestamp()) // SHARED_SECONDS)

    def render() -> DigestedFragment:
        answer = _rendered(request, lake, wanted, now)
        return digested(answer.content, answer.headers)

    return lake.kept.shared(f"fleet page {url}", version, render)


def _rendered(
    request: SiteRequest, lake: LakeSession, wanted: FleetFilter, now: datetime
) -> Response[str]:
    fleet = read_fleet(lake, wanted, now)
    name = "fleet" if fleet.total else "waiting"
    return page(
        request, name, now=now, fleet=fleet, system=fleet.system, problems=fleet.system.problems,
        page_rows=PAGE_ROWS, group_names=GROUPS, sorts=SORTS, heat_classes=CLASSES,
        statuses=HEALTH_STATUSES, profiles=PROFILE_NAMES, data=lake.folders.data,
    )  # fmt: skip


@get(
    exports.paths("/fleet"), summary="Fleet as data",
    operation_class=answering(*exports.MEDIA_TYPES),
)  # fmt: skip
async def fleet_export(
    request: SiteRequest, lake: TheLake, request_time: TheTime
) -> Response[bytes]:
    """The view `fleet_now` with the newest indicators, as JSON, CSV or Parquet.

    Worst server first; `shown_as` is the health status on the page, such as `No data`.
    """
    return await exports.exported(request, "fleet", partial(_exported_rows, lake, request_time))


def _exported_rows(lake: LakeSession, now: datetime) -> pa.Table:
    with lake.snapshot() as reader:
        table = fleet_table(reader, lake.kept, now, tags_in_force(lake.folders), False)
    names = {status.slug: status.name for status in HEALTH_STATUSES}
    shown = pa.array([names[slug] for slug in table.rows["health"].to_pylist()], pa.string())
    columns = table.rows.column_names[:FLEET_COLUMNS]
    return table.rows.select(columns).append_column("shown_as", shown)
