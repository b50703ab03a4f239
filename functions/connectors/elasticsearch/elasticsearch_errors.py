"""Errors of Elasticsearch and its client as messages with a remedy."""

from collections.abc import Mapping
from typing import Any

from elasticsearch import (
    ApiError,
    AuthenticationException,
    AuthorizationException,
    ConnectionTimeout,
    NotFoundError,
    TransportError,
    UnsupportedProductError,
)
from elasticsearch import ConnectionError as NotConnected

from functions.connectors.connector import Unreachable
from functions.connectors.elasticsearch.elasticsearch_connection import ElasticsearchConnection
from functions.connectors.elasticsearch.http_node import TOO_LARGE

__all__ = ["EXPIRED", "NO_INDEX", "check_complete", "is_of_kind", "shard_errors", "unreachable"]

ClientError = ApiError | TransportError
EXPIRED, NO_INDEX = "search_context_missing_exception", "index_not_found_exception"
BUSY, GATEWAY = 429, (502, 503, 504)


def is_of_kind(error: ApiError, kind: str) -> bool:
    """Return True if the server names this type of error as the cause, or as one of the causes."""
    if not isinstance(error, NotFoundError) or not isinstance(error.body, Mapping):
        return False
    details = error.body.get("error")
    return isinstance(details, Mapping) and kind in {
        details.get("type"), *(cause.get("type") for cause in details.get("root_cause", ()))
    }  # fmt: skip


def shard_errors(response: Mapping[str, Any]) -> set[str]:
    """Return the types of the errors of the shards that failed."""
    failures = response.get("_shards", {}).get("failures", ())
    return {each["reason"]["type"] for each in failures if isinstance(each.get("reason"), Mapping)}


def check_complete(response: Mapping[str, Any], index: str) -> None:
    """Raise Unreachable when a response with status 200 lacks shards or was cut short.

    The position stays, so that the page is requested again.
    """
    shards = response.get("_shards", {})
    if failed := shards.get("failed", 0):
        types = ", ".join(sorted(shard_errors(response)))
        why = f" ({types})" if types else ""
        raise Unreachable(
            f"{failed} of {shards.get('total', '?')} shards of {index!r} did not answer{why}: "
            "nothing of this page was used, and it is requested again; see GET _cluster/health"
        )
    if response.get("timed_out"):
        raise Unreachable(
            f"Elasticsearch stopped the search in {index!r} before it was complete (timed_out): "
            "nothing of this page was used, and it is requested again; write a longer timeout or a "
            "smaller page, or have the cluster checked"
        )


def unreachable(error: ClientError, connection: ElasticsearchConnection) -> Unreachable:
    """Return the error as an Unreachable whose message names the cause and the remedy."""
    if isinstance(error, ApiError):
        return Unreachable(_api_error(error, connection))
    return Unreachable(_transport_error(error, connection))


def _api_error(error: ApiError, connection: ElasticsearchConnection) -> str:
    if isinstance(error, UnsupportedProductError):
        return (
            f"the server at {', '.join(connection.hosts)} does not identify itself as "
            "Elasticsearch (no header X-Elastic-Product): check hosts, and that no proxy "
            "removes the header"
        )
    if isinstance(error, AuthenticationException):
        return (
            f"Elasticsearch refused {connection.reader} (401): check user and password_env or "
            "password_file, or api_key_env or api_key_file, and that the key has not expired"
        )
    if isinstance(error, AuthorizationException):
        return (
            f"{connection.reader} may not read {connection.index!r} (403): have its owner grant "
            "the index privileges 'read' and 'view_index_metadata' on it"
        )
    if error.status_code == BUSY:
        return (
            "Elasticsearch is busy and rejected the search (429): it is retried with increasing "
            "delay; write a smaller page or a longer every if this persists"
        )
    reason = _reason(error)
    if error.status_code in GATEWAY:
        return f"Elasticsearch, or a proxy before it, is not ready ({reason}): it is retried"
    return f"Elasticsearch answered {reason}"


def _transport_error(error: TransportError, connection: ElasticsearchConnection) -> str:
    text = " ".join(str(error.message).split())
    lower, tls = text.lower(), connection.hosts[0].startswith("https")
    if isinstance(error, ConnectionTimeout):
        return f"Elasticsearch does not answer within {connection.timeout} ({text})"
    if not isinstance(error, NotConnected):
        return (
            f"the response is not from Elasticsearch ({text}): check hosts, and the proxy before it"
        )
    if TOO_LARGE in text:
        return f"{TOO_LARGE}: write a smaller page, or a mapping that reads fewer fields"
    if "wrong_version_number" in lower or "record layer" in lower or "http_request" in lower:
        return f"the server does not use TLS ({text}): write http:// in hosts, or check the port"
    if any(word in lower for word in ("certificate", "ssl", "tls", "fingerprint")):
        return (
            f"the TLS handshake failed ({text}): check ca_file or fingerprint, and that hosts has "
            "the name in the server's certificate"
        )
    if "refused" in lower:
        return f"connection refused ({text}): check hosts, and that the server is running"
    remedy = "" if tls else ": if the server expects TLS, write https:// in hosts"
    return f"the connection was closed ({text}){remedy}"


def _reason(error: ApiError) -> str:
    details = error.body.get("error") if isinstance(error.body, Mapping) else None
    if not isinstance(details, Mapping):
        return str(error.status_code)
    causes = details.get("root_cause") or [details]
    return f"{error.status_code}, {causes[0].get('type')}: {causes[0].get('reason')}"
