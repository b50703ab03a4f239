"""Free ports of this host, for servers of demos, benchmarks and tests."""

import socket

__all__ = ["free_port"]


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nothing listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
