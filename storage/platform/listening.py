"""Listening: sockets at each address of a host name, or the reason why there are none."""

import errno
import os
import socket
from contextlib import ExitStack

from storage.errors import HoursightError

__all__ = ["CannotListen", "listening_sockets", "site_url"]

# One address of several may lack its interface: localhost without IPv6.
ABSENT = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)

Address = tuple[socket.AddressFamily, tuple[object, ...]]


class CannotListen(HoursightError):
    """No socket can be bound to an address; `is_taken` is True if another process listens there."""

    def __init__(self, host: str, port: int, error: OSError | UnicodeError) -> None:
        code = error.errno if isinstance(error, OSError) else None
        self.is_taken = code == errno.EADDRINUSE
        super().__init__(*_reason(host, port, code, error))


def _reason(host: str, port: int, code: int | None, error: Exception) -> tuple[str, str]:
    """The message and the remedy."""
    if code == errno.EADDRINUSE:
        return f"port {port} of {host} is taken", "name a free one with --port"
    if code in (errno.EACCES, errno.EPERM):
        return f"this user may not listen on port {port} of {host}", "name a port over 1023"
    if code in ABSENT:
        return f"no interface of this machine has the address {host}", "set web.host to one of them"
    if isinstance(error, socket.gaierror | UnicodeError):
        return f"the host name {host!r} cannot be resolved ({error})", "correct web.host"
    text = os.strerror(code) if code else str(error)
    return f"{host} with port {port} cannot be listened on ({text})", "correct web.host"


def listening_sockets(host: str, port: int) -> list[socket.socket]:
    """Return sockets bound to all addresses of `host`, a name or an IPv4 or IPv6 address.

    Raises CannotListen.
    """
    name = _without_brackets(host)
    try:
        return _bound_to_all(_addresses(name, port))
    except (OSError, UnicodeError) as error:
        raise CannotListen(name, port, error) from error


def site_url(host: str, port: int) -> str:
    """Return the URL of the site; an IPv6 address stands in brackets."""
    name = _without_brackets(host)
    return f"http://[{name.replace('%', '%25')}]:{port}" if ":" in name else f"http://{name}:{port}"


def _without_brackets(host: str) -> str:
    return host.removeprefix("[").removesuffix("]")


def _addresses(name: str, port: int) -> list[Address]:
    infos = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, address) for family, *_, address in infos))


def _bound_to_all(addresses: list[Address]) -> list[socket.socket]:
    absent: OSError | None = None
    with ExitStack() as on_error:
        sockets = []
        for family, address in addresses:
            try:
                sockets.append(on_error.enter_context(_bound(family, address)))
            except OSError as error:
                if error.errno not in ABSENT:
                    raise
                absent = error
        if absent is not None and not sockets:
            raise absent
        on_error.pop_all()
    return sockets


def _bound(family: socket.AddressFamily, address: tuple[object, ...]) -> socket.socket:
    with ExitStack() as on_error:
        bound = on_error.enter_context(socket.socket(family))
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:  # the IPv4 port of the same number is another one
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(address)
        on_error.pop_all()
    return bound
