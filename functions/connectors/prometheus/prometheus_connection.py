"""Where a Prometheus is, as whom it is asked, and of which servers."""

import json
import ssl
from datetime import timedelta

import httpx
import msgspec

from functions.connectors.secrets import secret
from functions.normalize.strict_toml import SourceInvalid
from storage.model.periods import parse_period

__all__ = ["PrometheusConnection", "client_of"]

PERIODS = ("step", "overlap", "timeout")
# Prometheus forgets a value after 5 minutes: with longer steps there would be gaps.
LEAST_STEP, LONGEST_STEP = timedelta(seconds=1), timedelta(minutes=5)


class PrometheusConnection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where its API is, and which series of which servers are read."""

    url: str = "http://127.0.0.1:9090"
    job: str | None = None
    match: str = ""
    server_label: str = "instance"
    clock: str = "node_boot_time_seconds"
    queries: dict[str, str] = {}
    step: str | None = None
    overlap: str = "2m"
    timeout: str = "5s"
    user: str | None = None
    password_env: str | None = None
    password_file: str | None = None
    token_env: str | None = None
    token_file: str | None = None
    ca_file: str | None = None
    certificate_file: str | None = None
    headers: dict[str, str] = {}

    def __post_init__(self) -> None:
        self._check_url()
        for key in PERIODS:
            try:
                parse_period(getattr(self, key) or "15s")
            except ValueError as error:
                raise ValueError(f"{key} is {error}") from None
        if parse_period(self.timeout) > timedelta(seconds=10):
            raise ValueError(f"timeout is {self.timeout!r}, expected 10s at most")
        if self.step and not LEAST_STEP <= parse_period(self.step) <= LONGEST_STEP:
            raise ValueError(f"step is {self.step!r}, expected 1s to 5m")
        if self.user and (self.token_env or self.token_file):
            raise ValueError("user and a token both say who asks: leave one of them out")
        if any(name.lower() == "authorization" for name in self.headers):
            raise ValueError("headers has Authorization, a secret: write token_env or token_file")

    def _check_url(self) -> None:
        try:
            url = httpx.URL(self.url)
        except httpx.InvalidURL as error:
            raise ValueError(f"url is {self.url!r}, which cannot be read ({error})") from None
        if url.scheme not in ("http", "https") or not url.host:
            raise ValueError(f"url is {self.url!r}: write it like 'http://prometheus.example:9090'")
        if url.userinfo:
            raise ValueError("url holds credentials: write user, and password_env or password_file")
        if url.scheme == "http" and (self.ca_file or self.certificate_file):
            raise ValueError(f"url is {self.url!r} and there is a certificate: write https")

    @property
    def matchers(self) -> str:
        """Which series are meant, as they stand between braces."""
        job = f"job={json.dumps(self.job)}" if self.job else ""
        return ",".join(filter(None, (job, self.match.strip().strip("{},"))))


def client_of(connection: PrometheusConnection) -> httpx.Client:
    """A client; nothing is asked yet. Raises SourceInvalid."""
    password = secret("password", connection.password_env, connection.password_file)
    token = secret("token", connection.token_env, connection.token_file)
    headers = dict(connection.headers)
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        return httpx.Client(
            base_url=connection.url, headers=headers, verify=_trust(connection),
            auth=(connection.user, password or "") if connection.user else None,
            timeout=parse_period(connection.timeout).total_seconds(),
            trust_env=False,  # no proxy and no .netrc that the file does not name
        )  # fmt: skip
    except (OSError, UnicodeEncodeError) as error:
        raise SourceInvalid(
            f"connection cannot be used ({error}): check ca_file, certificate_file and headers"
        ) from error


def _trust(connection: PrometheusConnection) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=connection.ca_file)
    if connection.certificate_file:
        context.load_cert_chain(connection.certificate_file)
    return context
