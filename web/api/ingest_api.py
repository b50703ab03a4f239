"""Push endpoints: records, line protocol and remote write, forwarded to the ingest service.

The response is 2xx only after the rows are on disk.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
from litestar import MediaType, Response, post
from litestar.openapi import ResponseSpec

from storage.ipc.push_protocol import MAX_SENT_BYTES, Push, rejection_json
from storage.ipc.rpc import NotRunning, call_rpc
from web.access_trace import peer_of
from web.api.openapi import LinesOperation, RecordsOperation, SeriesOperation
from web.auth import FEED
from web.http_errors import RETRY_AFTER, HttpRejection
from web.operations import PROBLEM
from web.problem_json import data_answer
from web.rendering import SiteRequest, TheLake
from web.turns import Turns
from web.uploads import BodyStalled

__all__ = ["feed", "push_turns", "write_lines", "write_series"]

GZIP = ("identity", "gzip")
TIMEOUT_S = 30
MAX_IN_FLIGHT = 64
# A push that waits holds its connection and its body, but no thread.
MAX_WAITING = 1024
# Telegraf and the OpenTelemetry collector give a request up after 5 s.
MAX_WAIT_S = 3.0
MAX_SENDER_CHARS = 60


class RejectedRow(msgspec.Struct):
    """Why rows or values were refused, how many, and an example."""

    reason: str
    count: int
    example: Any = None


class IngestResponse(msgspec.Struct):
    """Result of a push: the `accepted` records are on disk.

    `repeated` counts values for a server and time that had one already, as far as the collector
    remembers its last 50,000 rows or more: the first one stays. The commit log counts all of them.
    """

    accepted: int
    refused: int
    repeated: int
    values_refused: int
    values_clamped: int
    reasons: list[RejectedRow]
    fields_ignored: list[str]


class IngestError(msgspec.Struct):
    """Why a request was rejected, and what to do: a problem as RFC 9457 has it."""

    type: str
    title: str
    status: int
    detail: str
    remedy: str
    status_code: int
    message: str
    instance: str = ""


ERRORS = {
    400: "invalid body or parameter; the valid lines of a line protocol body were accepted",
    401: "no API key", 403: "invalid API key, or one without the scope `feed`",
    413: "body too large", 415: "unsupported media type or compression",
    422: "no usable record in the body",
    503: "too many requests, the body stalled, no collector is running, or the disk is full: retry "
    "after Retry-After",
}  # fmt: skip
RESPONSES = {
    code: ResponseSpec(IngestError, generate_examples=False, description=text, media_type=PROBLEM)
    for code, text in ERRORS.items()
}
ACCEPTED = {
    200: ResponseSpec(IngestResponse, generate_examples=False, description="counts and reasons")
}
WRITTEN = {204: ResponseSpec(None, description="all rows are on disk")}
SPEC: dict[str, Any] = {"opt": FEED, "request_max_body_size": None, "tags": ["push"]}


def push_turns() -> Turns:
    """Turns of pushes; one is taken when the body is there."""
    return Turns("pushes", MAX_IN_FLIGHT, MAX_WAITING, MAX_WAIT_S)


@post(
    ["/feed", "/feed/data"], status_code=200, summary="Push records of the 14 metrics",
    responses=ACCEPTED | RESPONSES, operation_class=RecordsOperation, **SPEC,
)  # fmt: skip
async def feed(request: SiteRequest, lake: TheLake) -> Response[bytes]:
    """JSON: a list of records, or `{"records": [...]}`; at most 10,000; gzip is accepted.

    A record has its `server`, its `timestamp` (ISO 8601 with a time zone, or epoch seconds; for
    other units add `?time=ms`, `us` or `ns`) and any of the metrics, percentages from 0 to 100.
    """
    _check_media(request, ("application/json",))
    return await _forward(request, lake, "records", GZIP)


@post(
    ["/api/v2/write", "/write"], status_code=204, summary="Push InfluxDB line protocol",
    responses=WRITTEN | RESPONSES, operation_class=LinesOperation, **SPEC,
)  # fmt: skip
async def write_lines(request: SiteRequest, lake: TheLake) -> Response[None]:
    """Lines as Telegraf sends them; `precision` is ns (default), us, ms, s and, in v1, m or h.

    400: some lines are invalid; the others were accepted.
    """
    return await _forward(request, lake, "lines", GZIP)


@post("/api/v1/write", status_code=204, summary="Prometheus remote write 1.0",
      responses=WRITTEN | RESPONSES, operation_class=SeriesOperation, **SPEC)  # fmt: skip
async def write_series(request: SiteRequest, lake: TheLake) -> Response[None]:
    """A snappy-compressed `prometheus.WriteRequest` with series of node_exporter."""
    _check_media(request, ("application/x-protobuf",))
    if "proto=io.prometheus.write.v2" in request.headers.get("content-type", ""):
        raise HttpRejection(
            415, "remote write 2.0 is not supported, expected remote write 1.0",
            "remove protobuf_message from remote_write, or set it to prometheus.WriteRequest",
        )  # fmt: skip
    return await _forward(request, lake, "remote_write", ("snappy",))


async def _forward(
    request: SiteRequest, lake: TheLake, kind: str, encodings: Sequence[str]
) -> Response[Any]:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in encodings:
        raise HttpRejection(
            415,
            f"the Content-Encoding {encoding!r} is not supported",
            f"send it as {' or '.join(encodings)}",
        )
    parameters = {name: str(value) for name, value in request.query_params.items()}
    peer = peer_of(request.client.host if request.client else "")
    push = Push(kind, await _body(request), encoding, parameters, _sender(request), peer)
    async with request.app.state.push_turns.turn():
        return await _ingest(request, lake, push)


def _sender(request: SiteRequest) -> str:
    """The remote address and the program: `10.0.0.5 (Prometheus/2.42.0)`.

    It only tells senders apart, and is what they or a proxy state.
    """
    address = request.client.host if request.client else "an unknown address"
    behind = request.headers.get("x-forwarded-for", "")[:MAX_SENDER_CHARS]
    program = request.headers.get("user-agent", "")[:MAX_SENDER_CHARS]
    return "".join((f"{behind} by " if behind else "", address, f" ({program})" if program else ""))


async def _body(request: SiteRequest) -> bytes:
    """Return the whole body.

    Raise HttpRejection 413 beyond the limit, and 503 if the body stalls: senders drop what is
    answered with 408.
    """
    parts: list[bytes] = []
    size = 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > MAX_SENT_BYTES:
                raise _too_large()
            parts.append(part)
    except BodyStalled as error:
        raise BodyStalled(503, RETRY_AFTER) from error
    return b"".join(parts)


def _too_large() -> HttpRejection:
    return HttpRejection(
        413,
        f"the body is larger than {MAX_SENT_BYTES >> 20} MiB",
        "send it in parts, or compressed",
    )


async def _ingest(request: SiteRequest, lake: TheLake, push: Push) -> Response[Any]:
    try:
        async with asyncio.timeout(TIMEOUT_S):
            status, answer = await call_rpc(lake.folders.push_socket, push.packed())
    except NotRunning as error:
        status, answer = 503, rejection_json(503, error.message, error.remedy or "")
    except TimeoutError:
        status = 503
        answer = rejection_json(503, f"no answer within {TIMEOUT_S} s", "send it again later")
    if status < 400:
        return Response(answer, status_code=status, media_type=MediaType.JSON)
    return data_answer(request, status, answer, **(RETRY_AFTER if status == 503 else {}))


def _check_media(request: SiteRequest, allowed: Sequence[str]) -> None:
    sent = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if sent not in allowed:
        raise HttpRejection(
            415, f"the Content-Type is {sent!r}" if sent else "the Content-Type is missing",
            f"send it with Content-Type: {' or '.join(allowed)}",
        )  # fmt: skip
