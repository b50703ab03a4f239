"""Prometheus connection: the keys of [connection], and the client they describe."""

import json
import ssl
from datetime import timedelta

import httpx
import msgspec

from functions.connectors.secrets import secret
from functions.normalize.strict_toml import SourceInvalid
from storage.config.settings import check_server_label
from storage.model.periods import parse_period

__all__ = ["PrometheusConnection", "client_of"]

PERIODS = ("step", "overlap", "timeout")
# Prometheus looks back 5 minutes for a value: longer steps would leave gaps.
MIN_STEP, MAX_STEP = timedelta(seconds=1), timedelta(minutes=5)
# Fields that every scrape has: the value of a query would take their place.
RESERVED = ("timestamp", "server")


class PrometheusConnection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the API is, with which credentials it is read, and which series of which servers."""

    url: str = "http://127.0.0.1:9090"
    job: str | None = None
    match: str = ""
    server_label: str | list[str] = "instance"
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
                raise ValueError(f"{key}: {error}") from None
        if parse_period(self.timeout) > timedelta(seconds=10):
            raise ValueError(f"timeout is {self.timeout!r}, expected at most 10s")
        if self.step and not MIN_STEP <= parse_period(self.step) <= MAX_STEP:
            raise ValueError(f"step is {self.step!r}, expected 1s to 5m")
        for name in self.queries.keys() & RESERVED:
            raise ValueError(
                f"queries has {name!r}, which is a field of every scrape: write another name, and "
                "use it in the mapping"
            )
        check_server_label(self.server_label)
        if self.user and (self.token_env or self.token_file):
            raise ValueError("user and a token are both set: leave one of them out")
        if any(name.lower() == "authorization" for name in self.headers):
            raise ValueError(
                "headers has Authorization, which is a secret: write token_env or token_file"
            )

    def _check_url(self) -> None:
        try:
            url = httpx.URL(self.url)
        except httpx.InvalidURL as error:
            raise ValueError(
                f"url is {self.url!r}, which is not a valid URL ({error}): write it like "
                "'http://prometheus.example:9090'"
            ) from None
        if url.scheme not in ("http", "https") or not url.host:
            raise ValueError(f"url is {self.url!r}: write it like 'http://prometheus.example:9090'")
        if url.userinfo:
            raise ValueError("url holds credentials: write user, and password_env or password_file")
        if url.scheme == "http" and (self.ca_file or self.certificate_file):
            raise ValueError(
                f"ca_file or certificate_file is set, but url is {self.url!r}: write https://"
            )

    @property
    def matchers(self) -> str:
        """The label matchers of `job` and `match`, as they stand between braces in PromQL."""
        job = f"job={json.dumps(self.job)}" if self.job else ""
        return ",".join(filter(None, (job, self.match.strip().strip("{},"))))


def client_of(connection: PrometheusConnection) -> httpx.Client:
    """Return a client; sends no request yet. Raises SourceInvalid."""
    password = secret("password", connection.password_env, connection.password_file)
    token = secret("token", connection.token_env, connection.token_file)
    headers = {"Accept-Encoding": "gzip"} | connection.headers
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        return httpx.Client(
            base_url=connection.url, headers=headers, verify=_tls_context(connection),
            auth=(connection.user, password or "") if connection.user else None,
            timeout=parse_period(connection.timeout).total_seconds(),
            trust_env=False,  # no proxy and no .netrc that the source file does not name
        )  # fmt: skip
    except (OSError, UnicodeEncodeError) as error:
        raise SourceInvalid(
            f"connection cannot be used ({error}): check ca_file, certificate_file and headers"
        ) from error


def _tls_context(connection: PrometheusConnection) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=connection.ca_file)
    if connection.certificate_file:
        context.load_cert_chain(connection.certificate_file)
    return context
