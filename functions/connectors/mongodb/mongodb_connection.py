"""MongoDB connection: the keys of [connection], and the client they describe."""

from datetime import timedelta
from typing import Any, Literal

import msgspec
from pymongo import MongoClient
from pymongo.errors import ConfigurationError, InvalidURI
from pymongo.uri_parser import parse_uri

from functions.connectors.secrets import secret
from functions.normalize.strict_toml import SourceInvalid
from storage.model.periods import parse_period

__all__ = ["Client", "MongoConnection", "client_of"]

Client = MongoClient[dict[str, Any]]


class MongoConnection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the collection is, and with which credentials it is read: the role `read` is enough."""

    database: str
    collection: str
    host: str | None = None
    port: int = 27017
    uri: str | None = None
    uri_env: str | None = None
    uri_file: str | None = None
    user: str | None = None
    password_env: str | None = None
    password_file: str | None = None
    auth_database: str | None = None
    auth_mechanism: Literal["SCRAM-SHA-256", "SCRAM-SHA-1", "MONGODB-X509"] | None = None
    tls: bool = False
    ca_file: str | None = None
    certificate_file: str | None = None
    direct: bool = False
    timeout: str = "5s"
    page: int = 5000
    overlap: str = "2m"
    change_stream: bool = False
    unwind: str | None = None  # an array whose elements are the samples

    def __post_init__(self) -> None:
        if not 1 <= self.page <= 50_000:
            raise ValueError(f"page is {self.page}, expected 1 to 50000 documents")
        for key in ("timeout", "overlap"):
            try:
                parse_period(getattr(self, key))
            except ValueError as error:
                raise ValueError(f"{key}: {error}") from None
        if parse_period(self.timeout) > timedelta(seconds=30):
            raise ValueError(f"timeout is {self.timeout!r}, expected at most 30s")
        if self.host is not None and (self.uri or self.uri_env or self.uri_file):
            raise ValueError("host and uri are both set: leave one of them out")
        if self.unwind is not None and (not self.unwind or self.unwind.startswith("$")):
            raise ValueError(f"unwind is {self.unwind!r}, expected the path of an array")
        if self.unwind and self.change_stream:
            raise ValueError("unwind and change_stream are both set: leave change_stream out")
        if not self.tls and (self.ca_file or self.certificate_file):
            raise ValueError(
                "ca_file or certificate_file is set, but tls is false: write tls = true"
            )

    @property
    def place(self) -> str:
        """The collection as DATABASE.COLLECTION."""
        return f"{self.database}.{self.collection}"


def client_of(connection: MongoConnection) -> Client:
    """Return a client; sends no command yet. Raises SourceInvalid."""
    try:
        return MongoClient(**_options(connection))
    except (ConfigurationError, InvalidURI, OSError, ValueError) as error:
        raise SourceInvalid(f"connection: {error}") from error


def _options(connection: MongoConnection) -> dict[str, Any]:
    timeout_ms = int(parse_period(connection.timeout) / timedelta(milliseconds=1))
    options: dict[str, Any] = {
        "appname": "hoursight", "serverSelectionTimeoutMS": timeout_ms,
        "connectTimeoutMS": timeout_ms, "socketTimeoutMS": 2 * timeout_ms, "maxPoolSize": 3,
        "username": connection.user, "authMechanism": connection.auth_mechanism,
        "password": secret("password", connection.password_env, connection.password_file),
        "authSource": connection.auth_database, "tlsCAFile": connection.ca_file,
        "tlsCertificateKeyFile": connection.certificate_file,
    }  # fmt: skip
    options = {name: value for name, value in options.items() if value is not None}
    if connection.tls:
        options["tls"] = True
    if connection.direct:
        options["directConnection"] = True
    uri = _uri(connection)
    if uri is not None:
        return options | {"host": uri}
    return options | {"host": connection.host or "127.0.0.1", "port": connection.port}


def _uri(connection: MongoConnection) -> str | None:
    if connection.uri is None:
        return secret("uri", connection.uri_env, connection.uri_file)
    try:
        has_password = parse_uri(connection.uri, validate=False)["password"] is not None
    except (InvalidURI, ConfigurationError, ValueError) as error:
        raise SourceInvalid(f"connection.uri cannot be read: {error}") from error
    if has_password:
        raise SourceInvalid(
            "connection.uri holds a password, which must not be in this file: leave it out and "
            "name the variable or file that holds it in password_env or password_file, or that of "
            "the whole URI in uri_env or uri_file"
        )
    return connection.uri
