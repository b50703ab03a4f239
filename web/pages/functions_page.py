"""The functions page: what each function does, how it fares, and when it runs next."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import pyarrow as pa
from anyio import to_thread
from litestar import Response, get, post
from litestar.exceptions import NotFoundException
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect

from storage.errors import HoursightError
from web.actions import act, back_to
from web.auth import ADMIN
from web.display import exports
from web.display.function_status import (
    FAILED_OUTCOMES,
    FunctionStatus,
    FunctionWords,
    ShownRun,
    function_statuses,
    milliseconds,
)
from web.display.system_status import SystemStatus, system_status
from web.lake_session import LakeSession, sql
from web.operations import PAGE, answering
from web.pages.alerts_page import form_of
from web.query_links import query_url
from web.rendering import SiteRequest, TheLake, TheTime, page, quoted
from web.requested_time import earlier_time

__all__ = ["act_on_function", "function_page", "functions_export", "functions_page"]

PAGE_ROWS = 50
MAX_ROWS = 100_000
FUNCTIONS_PATH = "/functions"
OF_THE_PRESENT = "this page is about an earlier time, and what the engine runs is known of now only"


class FunctionNotFound(HoursightError, NotFoundException):
    """No function has that name, and none ran under it."""

    def __init__(self, name: str) -> None:
        super().__init__(f"function {name!r} not found")


class FunctionsAnswer(msgspec.Struct, frozen=True):
    """The answer of the engine's function `function_states`."""

    functions: list[FunctionWords] = []


@dataclass(frozen=True, slots=True)
class FunctionsView:
    """Data of the page of all functions; `trouble` says why the engine did not list them."""

    system: SystemStatus
    functions: Sequence[FunctionStatus]
    trouble: str
    link: str


@dataclass(frozen=True, slots=True)
class FunctionView:
    """Data of the page of one function, with its newest runs."""

    system: SystemStatus
    function: FunctionStatus
    runs: Sequence[ShownRun]
    trouble: str
    link: str


def read_functions(
    lake: LakeSession, words: Sequence[FunctionWords], trouble: str, now: datetime
) -> FunctionsView:
    """Return every function as of `now`, from one snapshot."""
    bound = {"failures": list(FAILED_OUTCOMES), "now": now}
    with lake.snapshot() as reader:
        system = system_status(reader, lake.folders, now)
        rows = reader.query(sql("functions"), **bound).to_pylist()
    statuses = function_statuses(words, rows, now)
    return FunctionsView(system, statuses, trouble, query_url("functions", **bound))


def read_function(
    lake: LakeSession, name: str, words: Sequence[FunctionWords], trouble: str, now: datetime
) -> FunctionView:
    """Return one function with its runs. Raises FunctionNotFound."""
    all_functions = read_functions(lake, words, trouble, now)
    bound = {"function": name, "now": now}
    with lake.snapshot() as reader:
        runs = [*map(ShownRun, reader.query(sql("function_runs"), **bound).to_pylist())]
    for status in all_functions.functions:
        if status.name == name:
            link = query_url("function_runs", **bound)
            return FunctionView(all_functions.system, status, runs, trouble, link)
    raise FunctionNotFound(name)


async def _words(request: SiteRequest, lake: LakeSession) -> tuple[list[FunctionWords], str]:
    """Return the functions that the engine lists, or why it does not."""
    if earlier_time(request) is not None:
        return [], OF_THE_PRESENT
    outcome = await act(request, lake, "function_states", {}, only_reads=True)
    if outcome.failed:
        return [], outcome.error
    answer = msgspec.convert(outcome.answer.get("answer") or {}, FunctionsAnswer)
    return answer.functions, ""


@get(
    FUNCTIONS_PATH, summary="Functions page, suspended ones first",
    operation_class=answering(PAGE),
)  # fmt: skip
async def functions_page(
    request: SiteRequest, lake: TheLake, request_time: TheTime, show: FromQuery[int] = PAGE_ROWS
) -> Response[str]:
    """HTML; for requests of htmx only the fragment that changes."""
    words, trouble = await _words(request, lake)

    def render() -> Response[str]:
        view = read_functions(lake, words, trouble, request_time)
        return page(
            request, "functions", now=request_time, view=view, system=view.system,
            problems=view.system.problems, show=min(max(1, show), MAX_ROWS), page_rows=PAGE_ROWS,
            milliseconds=milliseconds, data=lake.folders.data,
        )  # fmt: skip

    return await to_thread.run_sync(render)


@get(
    exports.paths(FUNCTIONS_PATH), summary="Functions as data",
    operation_class=answering(*exports.MEDIA_TYPES),
)  # fmt: skip
async def functions_export(
    request: SiteRequest, lake: TheLake, request_time: TheTime
) -> Response[bytes]:
    """What each function that ran did last, and its runs of 24 h, as JSON, CSV or Parquet."""

    def read() -> pa.Table:
        with lake.snapshot() as reader:
            return reader.query(sql("functions"), failures=list(FAILED_OUTCOMES), now=request_time)

    return await exports.exported(request, "functions", read)


@get(
    f"{FUNCTIONS_PATH}/{{name:str}}", summary="One function with its newest runs",
    operation_class=answering(PAGE),
)  # fmt: skip
async def function_page(
    request: SiteRequest, lake: TheLake, request_time: TheTime, name: FromPath[str]
) -> Response[str]:
    """HTML; for requests of htmx only the fragment that changes."""
    words, trouble = await _words(request, lake)

    def render() -> Response[str]:
        view = read_function(lake, name, words, trouble, request_time)
        return page(
            request, "function", now=request_time, view=view, system=view.system,
            problems=view.system.problems, milliseconds=milliseconds,
        )  # fmt: skip

    return await to_thread.run_sync(render)


@post(
    f"{FUNCTIONS_PATH}/{{name:str}}", status_code=303,
    summary="Run a function now, or let a suspended one run again", opt=ADMIN,
    operation_class=answering(PAGE),
)  # fmt: skip
async def act_on_function(request: SiteRequest, lake: TheLake, name: FromPath[str]) -> Redirect:
    """Do the form's `action`, run or resume, and lead back to the page of the function."""
    action = (await form_of(request)).get("action", "")
    back = f"{FUNCTIONS_PATH}/{quoted(name)}"
    if action == "resume":
        outcome = await act(request, lake, "function_resume", {"name": name})
        said = str((outcome.answer.get("answer") or {}).get("text", "Resumed"))
        return back_to(back, outcome.error or f"{said}.", outcome.failed)
    if action != "run":
        return back_to(back, f"{action!r} is no action (expected run or resume)", failed=True)
    refusal = await _refusal(request, lake, name)
    if refusal:
        return back_to(back, refusal, failed=True)
    outcome = await act(request, lake, name, {})
    return back_to(back, outcome.error or _said(outcome.answer), outcome.failed)


async def _refusal(request: SiteRequest, lake: LakeSession, name: str) -> str:
    """Return why a function cannot be run by a button; empty if it can."""
    words, trouble = await _words(request, lake)
    known = {each.name: each for each in words}
    if trouble:
        return f"{name} did not run: {trouble}"
    if name not in known:
        return f"There is no function {name!r} that is loaded."
    if known[name].runnable:
        return ""
    return (
        f"{name} needs what a call or a file hands over: call it with "
        f"POST /api/v1/functions/{name} or 'hoursight call {name}'."
    )


def _said(answer: dict[str, Any]) -> str:
    counts = answer.get("row_counts") or {}
    rows = ", ".join(f"{count:,} rows for {table}" for table, count in counts.items() if count)
    took = milliseconds(answer.get("duration_ms"))
    return f"It ran in {took}: {rows or 'nothing to write'}."
