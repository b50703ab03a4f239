"""What went wrong with a server, in words, with what to do."""

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

__all__ = ["EXPIRED", "NO_INDEX", "answer_of", "causes", "is_of_kind", "unreachable"]

Trouble = ApiError | TransportError
EXPIRED, NO_INDEX = "search_context_missing_exception", "index_not_found_exception"
BUSY, GATEWAY = 429, (502, 503, 504)


def is_of_kind(error: ApiError, kind: str) -> bool:
    """Whether a server names this kind of error as the cause, or as one of its causes."""
    if not isinstance(error, NotFoundError) or not isinstance(error.body, Mapping):
        return False
    told = error.body.get("error")
    return isinstance(told, Mapping) and kind in {
        told.get("type"), *(cause.get("type") for cause in told.get("root_cause", ()))
    }  # fmt: skip


def causes(answer: Mapping[str, Any]) -> set[str]:
    """What kept shards from answering, by the server's names."""
    failures = answer.get("_shards", {}).get("failures", ())
    return {each["reason"]["type"] for each in failures if isinstance(each.get("reason"), Mapping)}


def answer_of(answer: Mapping[str, Any], index: str) -> Mapping[str, Any]:
    """The answer, when it is whole; else Unreachable, so that the position stays."""
    reason = _incomplete(answer, index)
    if reason is not None:
        raise Unreachable(reason)
    return answer


def unreachable(error: Trouble, connection: ElasticsearchConnection) -> Unreachable:
    """What went wrong in words, with what to do."""
    if isinstance(error, ApiError):
        return Unreachable(_refused(error, connection))
    return Unreachable(_no_answer(error, connection))


def _incomplete(answer: Mapping[str, Any], index: str) -> str | None:
    """Why an answer with status 200 has not all that there is; None when it has."""
    shards = answer.get("_shards", {})
    if failed := shards.get("failed", 0):
        named = ", ".join(sorted(causes(answer)))
        why = f" ({named})" if named else ""
        return (
            f"{failed} of {shards.get('total', '?')} shards of {index!r} did not answer{why}: "
            "nothing of this page was taken, and it is asked for again; look at GET _cluster/health"
        )
    if answer.get("timed_out"):
        return (
            f"Elasticsearch gave up the search in {index!r} before it was through (timed_out): "
            "nothing of this page was taken, and it is asked for again; write a longer timeout or "
            "a smaller page, or have the cluster looked at"
        )
    return None


def _refused(error: ApiError, connection: ElasticsearchConnection) -> str:
    if isinstance(error, UnsupportedProductError):
        return (
            f"what answers at {', '.join(connection.hosts)} does not say that it is Elasticsearch "
            "(no header X-Elastic-Product): check hosts, and that no proxy takes the header away"
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
            "Elasticsearch is busy and turned the search away (429): it is asked again, later each "
            "time; write a smaller page or a longer every when this stays"
        )
    said = _reason(error)
    if error.status_code in GATEWAY:
        return f"Elasticsearch, or what stands before it, is not ready ({said}): it is asked again"
    return f"Elasticsearch answered {said}"


def _no_answer(error: TransportError, connection: ElasticsearchConnection) -> str:
    text = " ".join(str(error.message).split())
    lower, tls = text.lower(), connection.hosts[0].startswith("https")
    if isinstance(error, ConnectionTimeout):
        return f"Elasticsearch does not answer within {connection.timeout} ({text})"
    if not isinstance(error, NotConnected):
        return f"what answered is not Elasticsearch's own ({text}): check what stands before it"
    if "wrong_version_number" in lower or "record layer" in lower or "http_request" in lower:
        return f"no TLS is spoken there ({text}): check hosts; without TLS they begin with http://"
    if any(word in lower for word in ("certificate", "ssl", "tls", "fingerprint")):
        return (
            f"TLS was refused ({text}): check ca_file or fingerprint, and that the host is written "
            "as in the server's certificate"
        )
    if "refused" in lower:
        return f"nothing listens there ({text}): check hosts, and the server"
    remedy = "" if tls else ": if it expects TLS, write https:// in hosts"
    return f"the connection was lost ({text}){remedy}"


def _reason(error: ApiError) -> str:
    told = error.body.get("error") if isinstance(error.body, Mapping) else None
    if not isinstance(told, Mapping):
        return str(error.status_code)
    causes = told.get("root_cause") or [told]
    return f"{error.status_code}, {causes[0].get('type')}: {causes[0].get('reason')}"
