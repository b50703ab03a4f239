"""Push endpoints: records, line protocol and remote write, forwarded to the ingest service.

The response is 2xx only after the rows are on disk.
"""

import asyncio
import ipaddress
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from litestar import MediaType, Response, post
from litestar.openapi import ResponseSpec

from storage.ipc.push_protocol import MAX_SENT_BYTES, Push, rejection_json
from storage.ipc.rpc import NotRunning, call_rpc
from web.api.openapi import LinesOperation, RecordsOperation, SeriesOperation
from web.auth import FEED
from web.http_errors import HttpRejection
from web.rendering import SiteRequest, TheLake

__all__ = ["InFlightLimit", "feed", "peer_of", "write_lines", "write_series"]

GZIP = ("identity", "gzip")
TIMEOUT_S = 30
MAX_IN_FLIGHT = 64
MAX_IN_FLIGHT_BYTES = 64 << 20
# A push that waits holds its connection, and neither a thread nor its body.
MAX_WAITING = 1024
# Telegraf and the OpenTelemetry collector give a request up after 5 s.
MAX_WAIT_S = 3.0
MAX_SENDER_CHARS = 60
RETRY_AFTER = {"Retry-After": "5"}


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
    """Why a request was rejected, and what to do."""

    status_code: int
    detail: str
    message: str
    remedy: str


ERRORS = {
    400: "invalid body or parameter; the valid lines of a line protocol body were accepted",
    401: "no API key", 403: "invalid API key, or one without the scope `feed`",
    413: "body too large", 415: "unsupported media type or compression",
    422: "no usable record in the body",
    503: "too many requests, no collector is running, or the disk is full: retry after Retry-After",
}  # fmt: skip
RESPONSES = {
    code: ResponseSpec(IngestError, generate_examples=False, description=text)
    for code, text in ERRORS.items()
}
ACCEPTED = {
    200: ResponseSpec(IngestResponse, generate_examples=False, description="counts and reasons")
}
WRITTEN = {204: ResponseSpec(None, description="all rows are on disk")}
SPEC: dict[str, Any] = {"opt": FEED, "request_max_body_size": None, "tags": ["push"]}


class InFlightLimit:
    """Limits the number and size of the pushes that are being received, to bound memory.

    Pushes beyond the limit wait for their turn in the order in which they came.
    """

    def __init__(self) -> None:
        self.requests = 0
        self.bytes = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def request(self) -> AsyncIterator[Callable[[int], None]]:
        """Count a request and its bytes within the context; yield the function that adds bytes.

        Raise HttpRejection 503 if no turn comes within MAX_WAIT_S, or MAX_WAITING wait already:
        Prometheus and Telegraf's `outputs.influxdb` drop what is answered with 429.
        """
        await self._turn()
        received = 0

        def count(size: int) -> None:
            nonlocal received
            received += size
            self.bytes += size

        try:
            yield count
        finally:
            self.bytes -= received
            self._leave()

    async def _turn(self) -> None:
        """Return when the request may be received; it is counted then."""
        if self._has_room() and not self._waiting:
            self.requests += 1
            return
        if len(self._waiting) >= MAX_WAITING:
            raise _overloaded()
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(MAX_WAIT_S):
                await turn
        except TimeoutError:
            self._give_up(turn)
            raise _overloaded() from None
        except asyncio.CancelledError:
            self._give_up(turn)
            raise

    def _give_up(self, turn: asyncio.Future[None]) -> None:
        if turn in self._waiting:
            self._waiting.remove(turn)
        elif not turn.cancelled():  # the turn came together with the end of the wait
            self._leave()

    def _leave(self) -> None:
        """Take a request off the count, and let the next ones in."""
        self.requests -= 1
        while self._waiting and self._has_room():
            turn = self._waiting.popleft()
            if not turn.done():
                self.requests += 1
                turn.set_result(None)

    def _has_room(self) -> bool:
        return self.requests < MAX_IN_FLIGHT and self.bytes < MAX_IN_FLIGHT_BYTES


def _overloaded() -> HttpRejection:
    return HttpRejection(
        503, "too many pushes at once", "send it again in some seconds", RETRY_AFTER
    )


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
    async with request.app.state.in_flight.request() as count_bytes:
        body = await _body(request, count_bytes)
        peer = peer_of(request.client.host if request.client else "")
        push = Push(kind, body, encoding, parameters, _sender(request), peer)
        return await _ingest(lake, push)


def _sender(request: SiteRequest) -> str:
    """The remote address and the program: `10.0.0.5 (Prometheus/2.42.0)`.

    It only tells senders apart, and is what they or a proxy state.
    """
    address = request.client.host if request.client else "an unknown address"
    behind = request.headers.get("x-forwarded-for", "")[:MAX_SENDER_CHARS]
    program = request.headers.get("user-agent", "")[:MAX_SENDER_CHARS]
    return "".join((f"{behind} by " if behind else "", address, f" ({program})" if program else ""))


def peer_of(host: str) -> str:
    """Whose connections count together: an address, of IPv6 its /64 network; no header says it."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if address.version == 4:
        return host
    mapped = address.ipv4_mapped
    return str(mapped or ipaddress.ip_network((address, 64), strict=False))


async def _body(request: SiteRequest, count: Callable[[int], None]) -> bytes:
    """Return the whole body, counting each part; raise HttpRejection 413 beyond the limit."""
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


async def _ingest(lake: TheLake, push: Push) -> Response[Any]:
    try:
        async with asyncio.timeout(TIMEOUT_S):
            status, answer = await call_rpc(lake.folders.push_socket, push.packed())
    except NotRunning as error:
        status, answer = 503, rejection_json(503, error.message, error.remedy or "")
    except TimeoutError:
        status = 503
        answer = rejection_json(503, f"no answer within {TIMEOUT_S} s", "send it again later")
    headers = RETRY_AFTER if status == 503 else {}
    return Response(answer, status_code=status, media_type=MediaType.JSON, headers=headers)


def _check_media(request: SiteRequest, allowed: Sequence[str]) -> None:
    sent = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if sent not in allowed:
        raise HttpRejection(
            415, f"the Content-Type is {sent!r}" if sent else "the Content-Type is missing",
            f"send it with Content-Type: {' or '.join(allowed)}",
        )  # fmt: skip
