"""HTTP sending: one request to a receiver, its answer bounded in size and time, and what it means.

Redirects are not followed: they would carry a message and its secrets to another host.
"""

import ssl
import time
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import httpx

from functions.connectors.secrets import secret
from functions.delivery.dispatch import ChannelUnusable, SendOutcome, SendResult
from functions.normalize.strict_toml import SourceInvalid
from storage.config.channel_settings import ChannelSettings
from storage.platform.error_text import bounded

__all__ = ["HttpReply", "HttpSender", "masked", "refused_or_failed", "secret_of"]

TIMEOUT_S = 10.0
DEADLINE_S = 20.0
MAX_BYTES = 64 << 10
SHOWN_CHARS = 300
LONGEST_RETRY_AFTER = timedelta(hours=1)
LATER = (408, 425, 429)
MASK = "***"
# Nothing of the request has left this host, or only its connection.
NOT_ARRIVED = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
)


@dataclass(frozen=True, slots=True)
class HttpReply:
    """An answer: its status, headers in small letters, and the first bytes of its body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as one line for people."""
        return bounded(" ".join(self.body.decode(errors="replace").split()), SHOWN_CHARS)


class HttpSender:
    """Client for one receiver; `secrets` never appear in its previews and errors."""

    def __init__(self, settings: ChannelSettings, secrets: Iterable[str] = ()) -> None:
        self.secrets = tuple(filter(None, secrets))
        try:
            context = ssl.create_default_context(cafile=settings.ca_file or None)
            self._client = httpx.Client(
                verify=context, proxy=settings.proxy or None, timeout=TIMEOUT_S, trust_env=False,
                headers={"User-Agent": "hoursight", "Accept-Encoding": "identity"},
            )  # fmt: skip
        except (OSError, ValueError) as error:
            raise ChannelUnusable(
                f"ca_file or proxy cannot be used ({error})", "correct it in hoursight.toml"
            ) from error

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def request(
        self, method: str, url: str, content: bytes, headers: Mapping[str, str]
    ) -> httpx.Request:
        """Return a request with all headers that it is sent with."""
        try:
            return self._client.build_request(method, url, content=content, headers=headers)
        except (httpx.InvalidURL, ValueError) as error:
            raise ChannelUnusable(
                self.masked(f"the request cannot be made ({error})"), "correct the channel's URL"
            ) from error

    def send(self, request: httpx.Request) -> HttpReply | SendResult:
        """Send a request; return its reply, or a failure when there is none."""
        try:
            response = self._client.send(request, stream=True, follow_redirects=False)
            try:
                body = _read(response)
            finally:
                response.close()
        except httpx.TransportError as error:
            return self._failure(request, error)
        headers = {name.lower(): value for name, value in response.headers.items()}
        return HttpReply(response.status_code, headers, body)

    def deliver(self, request: httpx.Request, accepted: Container[int] = (200,)) -> SendResult:
        """Send a request; a reply with a status in `accepted` means that the message arrived."""
        reply = self.send(request)
        if not isinstance(reply, HttpReply):
            return reply
        if reply.status in accepted:
            return SendResult(SendOutcome.SENT, status=reply.status)
        return refused_or_failed(reply, self.masked(reply.text))

    def _failure(self, request: httpx.Request, error: httpx.TransportError) -> SendResult:
        text = " ".join(str(error).split()) or type(error).__name__
        host = request.url.netloc.decode()
        return SendResult(
            SendOutcome.FAILED, self.masked(f"{host} does not answer: {text}"), pause=True,
            may_have_arrived=not isinstance(error, NOT_ARRIVED),
        )  # fmt: skip

    def masked(self, text: str) -> str:
        """Return a text without the secrets."""
        return masked(text, self.secrets)

    def preview(self, request: httpx.Request) -> str:
        """Return the bytes of a request as text, with secrets masked."""
        target = request.url.raw_path.decode()
        head = [f"{request.method} {target} HTTP/1.1"]
        head += [f"{name.decode()}: {value.decode()}" for name, value in request.headers.raw]
        return self.masked("\r\n".join([*head, "", request.read().decode()]))


def secret_of(settings: ChannelSettings, key: str, name: str) -> str:
    """Return a secret of the channel `name`; empty when it has none. Raises ChannelUnusable."""
    env, file = getattr(settings, f"{key}_env"), getattr(settings, f"{key}_file")
    try:
        return secret(key, env, file, f"channels.{name}") or ""
    except SourceInvalid as error:
        raise ChannelUnusable(str(error)) from error


def masked(text: str, secrets: Iterable[str]) -> str:
    """Return a text with each of `secrets` masked."""
    for each in sorted(secrets, key=len, reverse=True):
        text = text.replace(each, MASK)
    return text


def refused_or_failed(reply: HttpReply, detail: str = "") -> SendResult:
    """Return what an answer without success means: later again, or never."""
    status, text = reply.status, detail or reply.text
    if 300 <= status < 400:
        place = reply.headers.get("location", "another URL")
        return SendResult(
            SendOutcome.REFUSED, status=status,
            detail=f"answers with a redirect, which is not followed, to {bounded(place, 200)}: "
            "write the final URL into hoursight.toml",
        )  # fmt: skip
    if status < 500 and status not in LATER:
        return SendResult(SendOutcome.REFUSED, f"refused ({status}): {text}".rstrip(": "), status)
    wait = retry_after(reply.headers.get("retry-after", ""), datetime.now(UTC))
    return SendResult(
        SendOutcome.FAILED, f"answers {status}: {text}".rstrip(": "), status, retry_after=wait,
        may_have_arrived=status >= 500, pause=status in (429, 503),
    )  # fmt: skip


def retry_after(header: str, now: datetime) -> timedelta:
    """Return the wait of a Retry-After header, in seconds or as a date; at most an hour."""
    header = header.strip()
    if header.isascii() and header.isdigit():
        return min(timedelta(seconds=int(header[:9])), LONGEST_RETRY_AFTER)
    try:
        wait = parsedate_to_datetime(header) - now
    except (TypeError, ValueError):  # not a date, or one without a zone
        return timedelta(0)
    return min(max(wait, timedelta(0)), LONGEST_RETRY_AFTER)


def _read(response: httpx.Response) -> bytes:
    """Return the first bytes of a body, as far as they come within the deadline."""
    body, deadline = bytearray(), time.monotonic() + DEADLINE_S
    for chunk in response.iter_raw():
        body += chunk
        if len(body) >= MAX_BYTES or time.monotonic() > deadline:
            break
    return bytes(body[:MAX_BYTES])
