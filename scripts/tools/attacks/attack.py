"""What an attack is: its name, the door it comes by, and its play against a running instance."""

import http.client
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from storage.config.folders import Folders

__all__ = ["Answer", "Attack", "Instance"]

TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Answer:
    """What an attack saw, in one line, and whether the system held."""

    text: str
    held: bool


@dataclass(frozen=True)
class Instance:
    """A running Hoursight: five processes on a data folder of their own.

    `keys` has one token of each scope. `watched` is a folder that a source reads, and that others
    may write. `supervisor` is the process id of `hoursight up`.
    """

    url: str
    folders: Folders
    keys: Mapping[str, str]
    watched: Path
    supervisor: int

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the site."""
        parts = urlsplit(self.url)
        return str(parts.hostname), int(parts.port or 80)

    def process(self, module: str) -> psutil.Process:
        """The running process of `python -m MODULE`. Raises ProcessLookupError."""
        for child in psutil.Process(self.supervisor).children():
            with suppress(psutil.Error):  # it ends meanwhile
                if module in child.cmdline():
                    return child
        raise ProcessLookupError(f"python -m {module} does not run")

    def request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, str]:
        """Status and text of a request; without a key unless the headers have one."""
        connection = http.client.HTTPConnection(*self.address, timeout=TIMEOUT_S)
        try:
            connection.request(method, path, body or None, dict(headers or {}))
            response = connection.getresponse()
            return response.status, response.read().decode(errors="replace")
        finally:
            connection.close()

    def send_raw(self, data: bytes, timeout_s: float = TIMEOUT_S) -> bytes:
        """What the site answers to these bytes until it closes, or nothing more comes."""
        received = b""
        with socket.create_connection(self.address, timeout=timeout_s) as connection:
            connection.sendall(data)
            try:
                while piece := connection.recv(65536):
                    received += piece
            except TimeoutError:
                pass
        return received


@dataclass(frozen=True)
class Attack:
    """One attack; `door` is the way in, such as `line protocol` or `watched folder`."""

    name: str
    door: str
    play: Callable[[Instance], Answer]
