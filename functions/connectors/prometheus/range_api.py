"""The read API of Prometheus: one range of one query at a time, bounded in size and time."""

import time
from collections.abc import Mapping
from typing import Any

import httpx
import msgspec

from functions.connectors.connector import Unreachable
from functions.connectors.prometheus.prometheus_connection import PrometheusConnection, client_of
from storage.errors import HoursightError

__all__ = ["RangeApi", "RangeSeries", "RangeTooLarge"]

MAX_BYTES = 16 << 20
SHOWN_LENGTH = 300
BUSY = {429, 502, 503, 504}


class RangeTooLarge(HoursightError):
    """The server would not answer for so long a range; the message is what it said."""


class RangeSeries(msgspec.Struct, frozen=True):
    """One series of an answer: its labels, and [seconds since 1970, number as text]."""

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
    """A server that is asked; `warnings` are what it had to say beside its answers."""

    def __init__(self, connection: PrometheusConnection) -> None:
        self._connection = connection
        self._client = client_of(connection)
        self.warnings: list[str] = []

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    def range(self, query: str, span: range, give_up: float) -> list[RangeSeries]:
        """The values of a query at each step of `span` (seconds since 1970).

        `give_up` is on the monotonic clock. Raises Unreachable and RangeTooLarge.
        """
        asked = {"query": query, "start": span[0], "end": span[-1], "step": span.step}
        return self._ask("query_range", asked, give_up)

    def samples(self, selector: str, start: int, end: int, give_up: float) -> list[RangeSeries]:
        """The samples themselves, at their own times, from `start` to `end`; else like `range`."""
        asked = {"query": f"{selector}[{end - start}s]", "time": end}
        return self._ask("query", asked, give_up)

    def _ask(self, what: str, asked: Mapping[str, Any], give_up: float) -> list[RangeSeries]:
        try:
            with self._client.stream("GET", f"/api/v1/{what}", params=asked) as reply:
                body = self._body(reply, give_up)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        except httpx.DecodingError as error:
            raise Unreachable(f"Prometheus's answer cannot be unpacked ({error})") from error
        answer = _read(body)
        if reply.status_code != 200 or answer is None or answer.status != "success":
            raise self._refused(reply.status_code, answer, body, asked["query"])
        self.warnings += answer.warnings
        found = answer.data.result if answer.data else None
        return [series for series in found or () if series.values]

    def _body(self, reply: httpx.Response, give_up: float) -> bytes:
        body = bytearray()
        for chunk in reply.iter_bytes():
            body += chunk
            if len(body) > MAX_BYTES:
                raise RangeTooLarge(f"an answer of one step is larger than {MAX_BYTES >> 20} MiB")
            if time.monotonic() > give_up:
                raise RangeTooLarge(
                    "Prometheus answers too slowly for its samples to be read in time"
                )
        return bytes(body)

    def _unreachable(self, error: httpx.TransportError) -> Unreachable | RangeTooLarge:
        place, text = self._connection.url, " ".join(str(error).split()) or type(error).__name__
        lower = text.lower()
        if isinstance(error, httpx.TimeoutException):
            told = (
                f"{place} does not answer within {self._connection.timeout}: check the server and "
                "the way to it, or raise timeout"
            )
            return (
                RangeTooLarge(told) if isinstance(error, httpx.ReadTimeout) else Unreachable(told)
            )
        if "ssl" in lower or "certificate" in lower or "tls" in lower:
            return Unreachable(
                f"TLS was refused ({text}): check url, ca_file and certificate_file, and that the "
                "host is written as in the server's certificate"
            )
        if "refused" in lower:
            return Unreachable(f"nothing listens at {place} ({text}): check url, and the server")
        return Unreachable(f"{place} cannot be asked ({text}): check url, and the server")

    def _refused(
        self, status: int, answer: _RangeResponse | None, body: bytes, query: str
    ) -> Unreachable | RangeTooLarge:
        place, told = self._connection.url, _told(answer, body)
        if status in (401, 403):
            who = f" of {self._connection.user!r}" if self._connection.user else ""
            return Unreachable(
                f"{place} refused the credentials{who} ({status}): check user and password_env or "
                "password_file, or token_env or token_file, and headers"
            )
        if status == 422 or (status == 503 and answer and answer.error_type == "timeout"):
            return RangeTooLarge(f"Prometheus could not answer {query} ({status}): {told}")
        if status in BUSY:
            return Unreachable(f"{place} is busy or just starting ({status}): {told}")
        if "HTTP request to an HTTPS server" in told:
            return Unreachable(f"{place} expects TLS: write https in url, and ca_file")
        if answer and answer.error:
            return Unreachable(f"Prometheus refused {query} ({status}): {told}: mend the query")
        return Unreachable(
            f"there is no Prometheus API at {place} ({status}: {told}): check url, with the prefix "
            "before /api/v1 where there is one"
        )


def _read(body: bytes) -> _RangeResponse | None:
    try:
        return msgspec.json.decode(body, type=_RangeResponse)
    except (ValueError, RecursionError):
        return None


def _told(answer: _RangeResponse | None, body: bytes) -> str:
    text = answer.error if answer and answer.error else body.decode(errors="replace")
    return " ".join(text.split())[:SHOWN_LENGTH] or "nothing"
