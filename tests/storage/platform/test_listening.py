import errno
import os
import socket
from collections.abc import Callable
from typing import Any

import pytest

from storage.platform.listening import CannotListen, listening_sockets, site_url


def families(host: str) -> set[socket.AddressFamily]:
    sockets = listening_sockets(host, 0)
    for each in sockets:
        each.close()
    return {each.family for each in sockets}


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])  # noqa: S104 - what users write
def test_an_ipv4_address_is_bound(host: str) -> None:
    assert families(host) == {socket.AF_INET}


@pytest.mark.skipif(not os.path.exists("/proc/net/if_inet6"), reason="this kernel has no IPv6")
@pytest.mark.parametrize("host", ["::1", "[::1]", "::"])
def test_an_ipv6_address_is_bound_with_and_without_brackets(host: str) -> None:
    assert families(host) == {socket.AF_INET6}


def test_a_name_is_bound_at_each_of_its_addresses() -> None:
    assert socket.AF_INET in families("localhost")


def test_a_name_whose_second_address_no_interface_has_is_bound_at_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    addresses = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0))
        for address in ("127.0.0.1", "192.0.2.1")
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
    assert families("both.example") == {socket.AF_INET}
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses[1:])
    with pytest.raises(CannotListen, match="no interface of this machine has the address"):
        listening_sockets("both.example", 0)


def test_a_taken_port_is_told_apart_and_leaves_nothing_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(CannotListen, match=f"port {port} of 127.0.0.1 is taken") as refused:
            listening_sockets("127.0.0.1", port)
    assert refused.value.is_taken


REASONS = {
    "no interface of this machine has the address 192.0.2.1": lambda: ("192.0.2.1", 0),
    "the host name 'none.invalid' cannot be resolved": lambda: ("none.invalid", 0),
    "the host name 'a..b' cannot be resolved": lambda: ("a..b", 0),
}


@pytest.mark.parametrize("reason", REASONS)
def test_the_reason_is_said(reason: str) -> None:
    with pytest.raises(CannotListen, match=reason) as refused:
        listening_sockets(*REASONS[reason]())
    assert not refused.value.is_taken


def test_a_port_that_needs_a_privilege_is_no_taken_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    refusing: Callable[..., Any] = type("Refusing", (socket.socket,), {"bind": refuse})
    monkeypatch.setattr(socket, "socket", refusing)
    with pytest.raises(CannotListen, match=r"may not listen on port 80 of 127.0.0.1"):
        listening_sockets("127.0.0.1", 80)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8080"), ("web.example", "http://web.example:8080"),
        ("::1", "http://[::1]:8080"), ("[::1]", "http://[::1]:8080"),
        ("fe80::1%eth0", "http://[fe80::1%25eth0]:8080"),
    ],
)  # fmt: skip
def test_the_address_of_the_site_is_a_url(host: str, url: str) -> None:
    assert site_url(host, 8080) == url
