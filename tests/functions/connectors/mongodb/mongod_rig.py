"""Source files, documents and the contract's rig for the tests of the MongoDB connector."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from scripts.mongod import Mongod
from tests.conftest import NOW
from tests.functions.connectors.connector_contract import Rig

PASSWORD = "päss/w:rd@1%"  # noqa: S105 - of a test; a URI has to escape it


def source_text(
    mongod: Mongod, collection: str, connection: str = "", head: str = "", timeout: str = "5s"
) -> str:
    """A source file that reads a collection; `connection` comes last, so a section may follow."""
    return f"""
kind = "mongodb"
{head}
[connection]
database = "monitoring"
collection = "{collection}"
port = {mongod.port}
user = "reader"
password_env = "MONGO_PASSWORD"
direct = true
timeout = "{timeout}"
{connection}
"""


def document(second: float = 0, server: str = "db1", **values: Any) -> dict[str, Any]:
    """A document so many seconds after NOW."""
    ts = NOW + timedelta(seconds=second)
    return {"hostname": server, "timestamp": ts, "cpu_user_pct": 12.5} | values


class MongodRig(Rig):
    """A real mongod behind TLS, with a collection for each case."""

    def __init__(self, server: Mongod, folder: Path, collection: str) -> None:
        self._server, self._folder, self._name = server, folder, collection
        self._options = {"tls": True, "tlsCAFile": str(folder / "ca.pem")}

    def text(self, **connection: Any) -> str:
        return self._text("ca.pem", "".join(f"{k} = {v!r}\n" for k, v in connection.items()))

    def _text(self, authority: str, more: str = "", timeout: str = "5s") -> str:
        tls = f'tls = true\nca_file = "{self._folder / authority}"\npage = {self.page}\n{more}'
        return source_text(self._server, self._name, tls, 'history = "1h"', timeout)

    def put(self, documents: list[dict[str, Any]]) -> None:
        with self._server.admin(**self._options) as client:
            client.monitoring[self._name].create_index("ts")
            client.monitoring[self._name].insert_many(documents)

    def stop(self) -> None:
        self._server.kill()

    def start(self) -> None:
        self._server.start()

    def wrong_password(self) -> str:
        return self.text().replace("MONGO_PASSWORD", "HOME")

    def wrong_ca(self) -> str:
        return self._text("other.pem")

    @contextmanager
    def slow(self) -> Iterator[str]:
        self._server.suspend()
        try:
            yield self._text("ca.pem", timeout="300ms")
        finally:
            self._server.resume()
