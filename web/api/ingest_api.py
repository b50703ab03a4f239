"""What is pushed to us: taken in, bounded, and handed to the process that writes it down.

An answer of 2xx comes only when the rows are on the disk.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
from litestar import MediaType, Response, post
from litestar.openapi import ResponseSpec

from storage.ipc.push_protocol import MAX_SENT_BYTES, Push, rejection_json
from storage.ipc.rpc import NotRunning, call_rpc
from web.api.openapi import LinesOperation, RecordsOperation, SeriesOperation
from web.auth import FEED
from web.http_errors import HttpRejection
from web.rendering import AnyRequest, TheLake

__all__ = ["ROUTES"]

GZIP = ("identity", "gzip")
ANSWER_WITHIN_S = 30
MAX_UNDER_WAY = 64
MAX_UNDER_WAY_BYTES = 64 << 20
RETRY_AFTER_S = {429: "1", 503: "5"}


class RejectedRow(msgspec.Struct):
    """Why something was not taken, how often, and one such thing."""

    reason: str
    count: int
    example: Any = None


class IngestResponse(msgspec.Struct):
    """What became of the records: those `accepted` are on the disk."""

    accepted: int
    refused: int
    values_refused: int
    reasons: list[RejectedRow]
    fields_ignored: list[str]


class IngestError(msgspec.Struct):
    """Why a request was not taken, and what to do."""

    status_code: int
    detail: str
    message: str
    remedy: str


REFUSALS = {
    400: "it cannot be read, or a parameter is wrong; of lines the others were taken",
    401: "no API key", 403: "a wrong API key, or one without the scope `feed`",
    413: "too large", 415: "another media type or compression", 422: "nothing in it can be used",
    429: "too much at once: try again after Retry-After",
    503: "nothing runs that could take it, or the disk is full: try again after Retry-After",
}  # fmt: skip
RESPONSES = {
    code: ResponseSpec(IngestError, generate_examples=False, description=text)
    for code, text in REFUSALS.items()
}
TAKEN = {
    200: ResponseSpec(IngestResponse, generate_examples=False, description="counts and reasons")
}
WRITTEN = {204: ResponseSpec(None, description="all of it is on the disk")}
SPEC: dict[str, Any] = {"opt": FEED, "request_max_body_size": None, "tags": ["push"]}


class InFlightLimit:
    """How much is being taken in at this moment, so that no crowd fills the memory."""

    def __init__(self) -> None:
        self.requests = 0
        self.bytes = 0

    @contextmanager
    def one_more(self) -> Iterator[Callable[[int], None]]:
        """Count a request while the context lasts, and the bytes that it is told of."""
        if self.requests >= MAX_UNDER_WAY or self.bytes >= MAX_UNDER_WAY_BYTES:
            raise HttpRejection(
                429, "more is being pushed at this moment than can be taken",
                "send it again in a second, in fewer and larger requests", {"Retry-After": "1"},
            )  # fmt: skip
        mine = 0

        def count(size: int) -> None:
            nonlocal mine
            mine += size
            self.bytes += size

        self.requests += 1
        try:
            yield count
        finally:
            self.requests -= 1
            self.bytes -= mine


@post(
    ["/feed", "/feed/data"], status_code=200, summary="Push records of the 14 metrics",
    responses=TAKEN | RESPONSES, operation_class=RecordsOperation, **SPEC,
)  # fmt: skip
async def feed(request: AnyRequest, lake: TheLake) -> Response[bytes]:
    """JSON: a list of records, or `{"records": [...]}`; at most 10,000; gzip may be used.

    A record names its `server`, its `timestamp` (ISO 8601 with a zone, or epoch seconds; for
    others add `?time=ms`, `us` or `ns`) and any of the metrics, percentages as 0 to 100.
    """
    _check_media(request, ("application/json",))
    return await _pass_on(request, lake, "records", GZIP)


@post(
    ["/api/v2/write", "/write"], status_code=204, summary="Push InfluxDB line protocol",
    responses=WRITTEN | RESPONSES, operation_class=LinesOperation, **SPEC,
)  # fmt: skip
async def write_lines(request: AnyRequest, lake: TheLake) -> Response[None]:
    """Lines as Telegraf sends them; `precision` is ns (default), us, ms, s and, in v1, m or h.

    400: some lines cannot be read, the others were taken.
    """
    return await _pass_on(request, lake, "lines", GZIP)


@post("/api/v1/write", status_code=204, summary="Prometheus remote write 1.0",
      responses=WRITTEN | RESPONSES, operation_class=SeriesOperation, **SPEC)  # fmt: skip
async def write_series(request: AnyRequest, lake: TheLake) -> Response[None]:
    """A snappy-compressed `prometheus.WriteRequest` with series of node_exporter."""
    _check_media(request, ("application/x-protobuf",))
    if "proto=io.prometheus.write.v2" in request.headers.get("content-type", ""):
        raise HttpRejection(
            415, "remote write 2.0 is not spoken here",
            "leave protobuf_message out of remote_write, or set it to prometheus.WriteRequest",
        )  # fmt: skip
    return await _pass_on(request, lake, "remote_write", ("snappy",))


async def _pass_on(
    request: AnyRequest, lake: TheLake, kind: str, encodings: Sequence[str]
) -> Response[Any]:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in encodings:
        raise HttpRejection(
            415, f"the body is compressed as {encoding!r}", f"send it as {' or '.join(encodings)}"
        )
    parameters = {name: str(value) for name, value in request.query_params.items()}
    with request.app.state.under_way.one_more() as taken:
        push = Push(kind, await _body(request, taken), encoding, parameters)
        return await _answer(lake, push)


async def _body(request: AnyRequest, count: Callable[[int], None]) -> bytes:
    """The whole body, each part counted; never more than is allowed is held."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_SENT_BYTES:
            raise HttpRejection(
                413, f"the body is larger than {MAX_SENT_BYTES >> 20} MiB",
                "send it in parts, or compressed",
            )  # fmt: skip
        parts.append(part)
        count(len(part))
    return b"".join(parts)


async def _answer(lake: TheLake, push: Push) -> Response[Any]:
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            status, answer = await call_rpc(lake.folders.push_socket, push.packed())
    except NotRunning as error:
        status, answer = 503, rejection_json(503, error.message, error.remedy or "")
    except TimeoutError:
        status = 503
        answer = rejection_json(503, f"not taken within {ANSWER_WITHIN_S} s", "send it again later")
    headers = {"Retry-After": RETRY_AFTER_S[status]} if status in RETRY_AFTER_S else {}
    return Response(answer, status_code=status, media_type=MediaType.JSON, headers=headers)


def _check_media(request: AnyRequest, allowed: Sequence[str]) -> None:
    sent = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if sent not in allowed:
        raise HttpRejection(
            415, f"the Content-Type is {sent or 'missing'}",
            f"send it with Content-Type: {' or '.join(allowed)}",
        )  # fmt: skip


ROUTES = (feed, write_lines, write_series)
