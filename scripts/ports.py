"""Ports of this host, for servers of one's own: of demos, benchmarks and tests."""

import socket

__all__ = ["free_port"]


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
