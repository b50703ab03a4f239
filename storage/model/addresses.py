"""Addresses in names of servers: the host of a label `host:port`, and one spelling of IPv6."""

import re
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address

__all__ = ["canonical_address", "host_of"]

MAX_PORT = 65_535
MAX_CHARS = 300  # longer labels are not host names
BRACKETED = re.compile(r"\[([^\[\]]+)\](?::([0-9]+))?")


def canonical_address(name: str) -> str:
    """`name`, or the one spelling (RFC 5952) of an IPv6 address, which may be in brackets.

    An IPv4 address that is written as IPv6 (`::ffff:10.0.0.1`) becomes IPv4.
    """
    if name.count(":") < 2:  # the shortest address is `::`
        return name
    bracketed = BRACKETED.fullmatch(name)
    text = bracketed[1] if bracketed and not bracketed[2] else name
    try:
        address = IPv6Address(text)
    except AddressValueError:
        return name
    return str(address.ipv4_mapped or address)


def host_of(label: str) -> str:
    """The host of a label of Prometheus: `host`, `host:port`, an address, or `[IPv6]:port`.

    What is an IPv6 address as a whole has no port: `2001:db8::5:9100` is one address.
    """
    return _host_of(label) if len(label) <= MAX_CHARS else label


@lru_cache(20_000)
def _host_of(label: str) -> str:
    whole = canonical_address(label)
    if whole != label or _is_address(label):
        return whole
    bracketed = BRACKETED.fullmatch(label)
    if bracketed is not None:
        return canonical_address(bracketed[1])
    host, _, port = label.rpartition(":")
    return canonical_address(host) if host and _is_port(port) and host[-1] != ":" else label


def _is_address(text: str) -> bool:
    try:
        IPv6Address(text)
    except AddressValueError:
        return False
    return True


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text) <= MAX_PORT
