"""Source files, documents and the contract's rig for the tests of the Elasticsearch connector."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.conftest import NOW
from tests.functions.connectors.connector_contract import Rig
from tests.functions.connectors.elasticsearch_double.http_front import HttpFront
from tests.functions.connectors.elasticsearch_double.index_writer import USER, IndexWriter

# A server that answers does so within this time even on a busy machine; a shorter one is only for
# tests in which it does not answer.
PATIENT, IMPATIENT = "10s", "2s"

ONE_SHARD_FAILED = {
    "total": 4, "successful": 3, "failed": 1,
    "failures": [{"shard": 1, "reason": {"type": "node_disconnected_exception"}}],
}  # fmt: skip


def source_text(
    front: HttpFront,
    index: str,
    connection: str = "",
    mapping: str = 'stock = "flat"',
    timeout: str = PATIENT,
) -> str:
    """A source file that reads an index behind a front."""
    return f"""
kind = "elasticsearch"
history = "1h"
[connection]
index = "{index}"
hosts = ["{front.url}"]
user = "{USER}"
password_env = "ELASTIC_PASSWORD"
timeout = "{timeout}"
{connection}
[mapping]
{mapping}
"""


def with_api_key(text: str) -> str:
    """The source file with the API key of ELASTIC_KEY in place of the user."""
    basic = f'user = "{USER}"\npassword_env = "ELASTIC_PASSWORD"'
    return text.replace(basic, 'api_key_env = "ELASTIC_KEY"')


def document(second: float = 0, server: str = "web1", **values: Any) -> dict[str, Any]:
    """A document so many seconds after NOW."""
    ts = (NOW + timedelta(seconds=second)).isoformat().replace("+00:00", "Z")
    return {"ts": ts, "hostname": server, "cpu_user_pct": 12.5} | values


def names(count: int) -> list[str]:
    return [f"s{i:03}" for i in range(count)]


def numbered_documents(count: int) -> list[dict[str, Any]]:
    """Documents of the servers `names(count)`, three at a time."""
    return [document(i // 3 - 60, name) for i, name in enumerate(names(count))]


class ElasticRig(Rig):
    """The double, or a real server, behind TLS; with an index for each case."""

    def __init__(self, front: HttpFront, folder: Path) -> None:
        self._front, self._folder = front, folder
        self.writer = IndexWriter(front, ca_certs=str(folder / "ca.pem"))
        self._index = self.writer.index()

    def text(self, **connection: Any) -> str:
        return self._text("ca.pem", "".join(f"{k} = {v!r}\n" for k, v in connection.items()))

    def _text(self, authority: str, more: str = "", timeout: str = PATIENT) -> str:
        tls = f'ca_file = "{self._folder / authority}"\npage = {self.page}\n{more}'
        return source_text(self._front, self._index, tls, timeout=timeout)

    def put(self, documents: list[dict[str, Any]]) -> None:
        self.writer.put(self._index, documents)

    def stop(self) -> None:
        self._front.close()

    def start(self) -> None:
        self._front.open()

    def wrong_password(self) -> str:
        return self.text().replace("ELASTIC_PASSWORD", "HOME")

    def wrong_ca(self) -> str:
        return self._text("other.pem")

    @contextmanager
    def slow(self) -> Iterator[str]:
        with self._front.hanging():
            yield self._text("ca.pem", timeout="100ms")
