"""Fixtures of the Prometheus connector's tests: a real server with TLS and a password."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.functions.connectors.prometheus.prometheus_rig import Text
from tests.functions.prometheus_server import PASSWORD, PrometheusServer

# Old samples are accepted in any order, so that each test writes its own history.
OUT_OF_ORDER = "storage: {tsdb: {out_of_order_time_window: 60d}}\n"


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificates, and the data of the server."""
    folder = tmp_path_factory.mktemp("prometheus")
    authority, stranger = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    stranger.cert_pem.write_to_path(str(folder / "other.pem"))
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    return folder


@pytest.fixture(scope="package")
def server(folder: Path) -> Iterator[PrometheusServer]:
    """A server that accepts TLS only and requires a password."""
    server = PrometheusServer(folder, OUT_OF_ORDER, tls=True)
    server.start()
    yield server
    server.close()


@pytest.fixture
def job(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The label of the test's own series."""
    monkeypatch.setenv("PROMETHEUS_PASSWORD", PASSWORD)
    return str(request.node.name)


@pytest.fixture
def text(server: PrometheusServer, folder: Path, job: str) -> Text:
    """Writes a source file."""

    def write(
        connection: str = "", head: str = 'history = "1h"', rest: str = "", **keys: Any
    ) -> str:
        values = {
            "url": server.url, "ca_file": str(folder / "ca.pem"), "job": job, "timeout": "10s",
            "user": "reader", "password_env": "PROMETHEUS_PASSWORD", "step": "5s",
        } | keys  # fmt: skip
        lines = "".join(f"{name} = {value!r}\n" for name, value in values.items() if value)
        return f'kind = "prometheus"\n{head}\n[connection]\n{lines}{connection}\n{rest}'

    return write
