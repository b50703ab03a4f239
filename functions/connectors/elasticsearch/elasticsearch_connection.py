"""Elasticsearch connection: the keys of [connection], and the client they describe."""

import base64
import logging
import re
from datetime import timedelta
from typing import Any
from urllib.parse import SplitResult, urlsplit

import msgspec
from elasticsearch import Elasticsearch

from functions.connectors.elasticsearch.http_node import DeadlineHttpNode, JsonOnlySerializer
from functions.connectors.secrets import secret
from functions.normalize.strict_toml import SourceInvalid
from storage.model.periods import parse_period

__all__ = ["ElasticsearchConnection", "client_of"]

MAX_TIMEOUT = timedelta(seconds=20)
# The run reports a host that is down, once and with the remedy.
logging.getLogger("elastic_transport.node_pool").setLevel(logging.ERROR)
# The server ends a search after `timeout` and says so: the client waits a little longer for that.
GRACE = 1.5
FINGERPRINT = re.compile(r"[0-9a-fA-F]{2}(:?[0-9a-fA-F]{2}){31}")


class ElasticsearchConnection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the index is, and with which credentials it is read: the privilege `read` is enough."""

    index: str
    hosts: tuple[str, ...] = ("http://127.0.0.1:9200",)
    user: str | None = None
    password_env: str | None = None
    password_file: str | None = None
    api_key_env: str | None = None
    api_key_file: str | None = None
    ca_file: str | None = None
    fingerprint: str | None = None
    timeout: str = "5s"
    page: int = 5000
    overlap: str = "2m"

    def __post_init__(self) -> None:
        if not self.index.strip():
            raise ValueError("index is empty (expected an index, a data stream or a pattern)")
        if not 1 <= self.page <= 10_000:
            raise ValueError(f"page is {self.page}, expected 1 to 10000 documents")
        for key in ("timeout", "overlap"):
            try:
                parse_period(getattr(self, key))
            except ValueError as error:
                raise ValueError(f"{key}: {error}") from None
        if parse_period(self.timeout) > MAX_TIMEOUT:
            raise ValueError(f"timeout is {self.timeout!r}, expected at most 20s")
        self._check_hosts()
        self._check_credentials()

    def _check_hosts(self) -> None:
        if not self.hosts:
            raise ValueError("hosts is empty (expected for example 'https://es1.example:9200')")
        schemes = {_host(host).scheme for host in self.hosts}
        if "http" in schemes and (self.ca_file or self.fingerprint):
            raise ValueError(
                "hosts begin with http://, but ca_file or fingerprint is set: write https://, or "
                "leave it out"
            )
        if self.ca_file and self.fingerprint:
            raise ValueError("ca_file and fingerprint are both set: leave one of them out")
        if self.fingerprint and not FINGERPRINT.fullmatch(self.fingerprint):
            raise ValueError(
                f"fingerprint is {self.fingerprint!r}, expected the SHA-256 of the certificate: 64 "
                "hexadecimal digits, with or without colons"
            )

    def _check_credentials(self) -> None:
        key, password = self.api_key_env or self.api_key_file, (
            self.password_env or self.password_file
        )  # fmt: skip
        if key and (self.user or password):
            raise ValueError("an API key and a user are both set: leave one of them out")
        if bool(self.user) != bool(password):
            raise ValueError(
                "user needs password_env or password_file, and they need user: write both"
            )

    @property
    def reader(self) -> str:
        """The credentials as a phrase for messages."""
        if self.api_key_env or self.api_key_file:
            return "this API key"
        return f"the user {self.user!r}" if self.user else "a client without credentials"


def client_of(connection: ElasticsearchConnection) -> Elasticsearch:
    """Return a client; sends no request yet. Raises SourceInvalid."""
    try:
        return Elasticsearch(**_options(connection))
    except (OSError, ValueError) as error:
        raise SourceInvalid(f"connection: {error}") from error


def _options(connection: ElasticsearchConnection) -> dict[str, Any]:
    password = secret("password", connection.password_env, connection.password_file)
    options: dict[str, Any] = {
        "hosts": list(connection.hosts), "node_class": DeadlineHttpNode,
        "serializers": {JsonOnlySerializer.mimetype: JsonOnlySerializer()},
        "request_timeout": parse_period(connection.timeout).total_seconds() * GRACE,
        # Another host is tried at once; a retry of all hosts is left to the engine, with back-off.
        "max_retries": len(connection.hosts) - 1, "retry_on_status": (502, 503, 504),
        "api_key": _api_key(secret("api_key", connection.api_key_env, connection.api_key_file)),
        "basic_auth": _encoded(f"{connection.user}:{password}") if connection.user else None,
        "ca_certs": connection.ca_file, "ssl_assert_fingerprint": connection.fingerprint,
    }  # fmt: skip
    return {name: value for name, value in options.items() if value is not None}


def _api_key(text: str | None) -> str | None:
    """The encoded key; an `id:key` pair is encoded here."""
    return _encoded(text) if text is not None and ":" in text else text


def _encoded(pair: str) -> str:
    """Base64 of UTF-8: the client's own encoding fails on characters that are not ASCII."""
    return base64.b64encode(pair.encode()).decode()


def _host(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        complete = parts.scheme in ("http", "https") and parts.hostname and parts.port
    except ValueError:  # the port is not a number
        complete = False
    if not complete:
        raise ValueError(f"hosts has {text!r}, expected scheme, name and port: https://NAME:9200")
    if parts.username or parts.password:
        raise ValueError(
            "hosts has a user or password, which must not be in this file: write user, and name "
            "the variable or file of the password in password_env or password_file"
        )
    return parts
