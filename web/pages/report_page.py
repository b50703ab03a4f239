"""The monthly report: a page to print, and the same as one file."""

from datetime import datetime

from litestar import MediaType, Response, get
from litestar.exceptions import ClientException
from litestar.params import FromQuery

from web.display.episodes import metric_label
from web.display.report import QUERIES, Month, MonthInvalid, Report, month_called, read_report
from web.display.system_status import system_status
from web.display.trust import share
from web.operations import PAGE, answering
from web.query_links import query_url
from web.rendering import SiteRequest, TheLake, TheTime, page
from web.report_file import report_file

__all__ = ["report_download", "report_page"]


@get(
    "/trust/report", sync_to_thread=True, summary="The report of a month: promises kept",
    operation_class=answering(PAGE),
)  # fmt: skip
def report_page(
    request: SiteRequest, lake: TheLake, request_time: TheTime, month: FromQuery[str] = ""
) -> Response[str]:
    """HTML; `month` is such as 2026-11, the present one without it."""
    with lake.snapshot() as reader:
        system = system_status(reader, lake.folders, request_time)
        report = read_report(reader, _month(month, request_time), request_time)
    return page(
        request, "report", now=request_time, report=report, system=system,
        problems=system.problems, links=_links(report), share=share, metric_label=metric_label,
    )  # fmt: skip


@get(
    "/trust/report.html", sync_to_thread=True, summary="The report of a month as one file",
    operation_class=answering(PAGE),
)  # fmt: skip
def report_download(
    lake: TheLake, request_time: TheTime, month: FromQuery[str] = ""
) -> Response[str]:
    """The page without the site around it, with its styles inside."""
    with lake.snapshot() as reader:
        report = read_report(reader, _month(month, request_time), request_time)
    name = f"hoursight-{report.month.name}.html"
    return Response(
        report_file(report), media_type=MediaType.HTML,
        headers={
            "Cache-Control": "no-store", "Content-Disposition": f'attachment; filename="{name}"',
        },
    )  # fmt: skip


def _month(text: str, now: datetime) -> Month:
    try:
        return month_called(text, now)
    except MonthInvalid as error:
        raise ClientException(str(error)) from error


def _links(report: Report) -> dict[str, str]:
    span = {"since": report.month.since, "until": report.month.until, "now": report.now}
    return {name: query_url(name, **span) for name in QUERIES}
