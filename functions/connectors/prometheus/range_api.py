"""Range API: one query of Prometheus at a time, bounded in size and time."""

import time
from collections.abc import Mapping
from typing import Any

import httpx
import msgspec

from functions.connectors.bounded_answer import UnpackError, unpacker
from functions.connectors.connector import Unreachable
from functions.connectors.prometheus.prometheus_connection import PrometheusConnection, client_of
from storage.errors import HoursightError

__all__ = ["RangeApi", "RangeSeries", "RangeTooLarge"]

MAX_BYTES = 16 << 20
SHOWN_LENGTH = 300
BUSY = {429, 502, 503, 504}


class RangeTooLarge(HoursightError):
    """The server did not answer for a range of this length; the message has its reason."""


class RangeSeries(msgspec.Struct, frozen=True):
    """One series of a response: its labels, and pairs of epoch seconds and a number as text."""

    metric: dict[str, str]
    values: list[tuple[float, str]] = []


class _RangeData(msgspec.Struct, frozen=True):
    result: list[RangeSeries] | None = None


class _RangeResponse(msgspec.Struct, frozen=True, rename="camel"):
    status: str = ""
    data: _RangeData | None = None
    error: str = ""
    error_type: str = ""
    warnings: list[str] = []


class RangeApi:
    """Queries of one server; `warnings` collects those of its responses."""

    def __init__(self, connection: PrometheusConnection) -> None:
        self._connection = connection
        self._client = client_of(connection)
        self.warnings: list[str] = []

    def close(self) -> None:
        """Close the connections to the server."""
        self._client.close()

    def range(self, query: str, span: range, deadline: float) -> list[RangeSeries]:
        """Return the series of `query` with their values at each step of `span` (epoch seconds).

        `deadline` is on the monotonic clock. Raises Unreachable when the server does not answer,
        RangeTooLarge when a shorter span may succeed.
        """
        params = {"query": query, "start": span[0], "end": span[-1], "step": span.step}
        return self._get("query_range", params, deadline)

    def samples(self, selector: str, start: int, end: int, deadline: float) -> list[RangeSeries]:
        """Return the raw samples from `start` to `end`, at their own times; else like `range`."""
        params = {"query": f"{selector}[{end - start}s]", "time": end}
        return self._get("query", params, deadline)

    def _get(self, endpoint: str, params: Mapping[str, Any], deadline: float) -> list[RangeSeries]:
        try:
            with self._client.stream("GET", f"/api/v1/{endpoint}", params=params) as response:
                body = self._read_body(response, deadline)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        except UnpackError as error:
            raise Unreachable(
                f"Prometheus sent a response that cannot be decompressed ({error}): check its proxy"
            ) from error
        content = _decode(body)
        if response.status_code != 200 or content is None or content.status != "success":
            raise self._refused(response.status_code, content, body, params["query"])
        self.warnings += content.warnings
        result = content.data.result if content.data else None
        return [series for series in result or () if series.values]

    def _read_body(self, response: httpx.Response, deadline: float) -> bytes:
        body = bytearray()
        unpack = unpacker(response.headers.get("content-encoding", ""))
        for chunk in response.iter_raw():
            body += unpack(chunk, MAX_BYTES + 1 - len(body))
            if len(body) > MAX_BYTES:
                raise RangeTooLarge(
                    f"the response for one step is larger than {MAX_BYTES >> 20} MiB: select fewer "
                    "series with job or match"
                )
            if time.monotonic() > deadline:
                raise RangeTooLarge(
                    "Prometheus answers too slowly for its samples to be read within a run: select "
                    "fewer series with job or match"
                )
        return bytes(body)

    def _unreachable(self, error: httpx.TransportError) -> Unreachable | RangeTooLarge:
        place, text = self._connection.url, " ".join(str(error).split()) or type(error).__name__
        lower = text.lower()
        if isinstance(error, httpx.TimeoutException):
            message = (
                f"{place} does not answer within {self._connection.timeout}: check the server and "
                "the network, or write a longer timeout"
            )
            slow = isinstance(error, httpx.ReadTimeout)
            return RangeTooLarge(message) if slow else Unreachable(message)
        if "ssl" in lower or "certificate" in lower or "tls" in lower:
            return Unreachable(
                f"the TLS handshake failed ({text}): check url, ca_file and certificate_file, and "
                "that url has the name in the server's certificate"
            )
        if "refused" in lower:
            return Unreachable(
                f"{place} refuses connections ({text}): check url, and that the server is running"
            )
        return Unreachable(f"{place} cannot be reached ({text}): check url, and the server")

    def _refused(
        self, status: int, content: _RangeResponse | None, body: bytes, query: str
    ) -> Unreachable | RangeTooLarge:
        place, reason = self._connection.url, _reason(content, body)
        if status in (401, 403):
            who = f" of {self._connection.user!r}" if self._connection.user else ""
            return Unreachable(
                f"{place} refused the credentials{who} ({status}): check user and password_env or "
                "password_file, or token_env or token_file, and headers"
            )
        if status == 422 or (status == 503 and content and content.error_type == "timeout"):
            return RangeTooLarge(f"Prometheus could not answer {query} ({status}): {reason}")
        if status in BUSY:
            return Unreachable(f"{place} is busy or still starting ({status}): {reason}")
        if "HTTP request to an HTTPS server" in reason:
            return Unreachable(f"{place} expects TLS: write https:// in url, and ca_file")
        if content and content.error:
            return Unreachable(f"Prometheus refused {query} ({status}): {reason}: fix the query")
        return Unreachable(
            f"no Prometheus API at {place} ({status}: {reason}): check url, with the prefix before "
            "/api/v1 if there is one"
        )


def _decode(body: bytes) -> _RangeResponse | None:
    try:
        return msgspec.json.decode(body, type=_RangeResponse)
    except (ValueError, RecursionError):
        return None


def _reason(content: _RangeResponse | None, body: bytes) -> str:
    text = content.error if content and content.error else body.decode(errors="replace")
    return " ".join(text.split())[:SHOWN_LENGTH] or "empty response"
