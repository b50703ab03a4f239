"""Errors of MongoDB and its driver as messages with a remedy."""

import re

from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError

from functions.connectors.connector import Unreachable
from functions.connectors.mongodb.mongodb_connection import MongoConnection

__all__ = ["AUTH_FAILED", "unreachable"]

AUTH_FAILED, NOT_ALLOWED = 18, 13

# The driver appends its own settings and the topology, which do not help the operator.
_DRIVER_DETAILS = re.compile(r" \(configured timeouts: [^)]*\)|, Timeout: .*", re.DOTALL)


def unreachable(error: PyMongoError, connection: MongoConnection) -> Unreachable:
    """Return the error as an Unreachable whose message names the cause and the remedy."""
    text = " ".join(_DRIVER_DETAILS.sub("", str(error)).split())
    # When no server can be selected, only the text of the error has the reason.
    if getattr(error, "code", None) == AUTH_FAILED or "AuthenticationFailed" in text:
        return Unreachable(
            f"MongoDB refused the credentials of {connection.user or 'this client'!r} (code "
            "18): check user, password_env or password_file, and auth_database"
        )
    if isinstance(error, OperationFailure):
        if error.code == NOT_ALLOWED:
            return Unreachable(
                f"the user may not read {connection.place} (code 13): have its owner grant the "
                f"role 'read' on {connection.database!r}"
            )
        return Unreachable(f"MongoDB answered: {text}")
    if not isinstance(error, ConnectionFailure):
        return Unreachable(f"MongoDB could not be read: {text}")
    lower = text.lower()
    if "certificate" in lower or "ssl" in lower or "tls" in lower:
        return Unreachable(
            f"the TLS handshake failed ({text}): check tls, ca_file and certificate_file, and that "
            "host is the name in the server's certificate"
        )
    if "connection closed" in lower and not connection.tls:
        return Unreachable(
            f"the server closed the connection ({text}): if it expects TLS, write tls = true"
        )
    if "refused" in lower:
        return Unreachable(
            f"connection refused ({text}): check host and port, and that the server is running"
        )
    return Unreachable(f"MongoDB does not answer within {connection.timeout} ({text})")
