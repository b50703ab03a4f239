"""Fixtures of the Elasticsearch connector's tests: the server, over HTTP and HTTPS."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.functions.connectors.elasticsearch_double.http_front import HttpFront
from tests.functions.connectors.elasticsearch_double.index_writer import (
    API_KEY,
    PASSWORD,
    IndexWriter,
    backend,
)


@pytest.fixture(scope="module")
def module_front() -> Iterator[HttpFront]:
    front = HttpFront(backend())
    front.open()
    yield front
    front.close()


@pytest.fixture
def front(module_front: HttpFront) -> Iterator[HttpFront]:
    """The server over HTTP, without faults left over from another test."""
    yield module_front
    module_front.clear_faults()


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[HttpFront, Path]]:
    """The server over HTTPS, and the folder of the certificates."""
    folder = tmp_path_factory.mktemp("tls")
    authority, stranger = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    stranger.cert_pem.write_to_path(str(folder / "other.pem"))
    issued = authority.issue_cert("127.0.0.1", "localhost")
    issued.cert_chain_pems[0].write_to_path(str(folder / "server.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(context)
    front = HttpFront(backend(), context)
    front.open()
    yield front, folder
    front.close()


@pytest.fixture
def writer(front: HttpFront) -> Iterator[IndexWriter]:
    writer = IndexWriter(front)
    yield writer
    writer.close()


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELASTIC_PASSWORD", PASSWORD)
    monkeypatch.setenv("ELASTIC_KEY", API_KEY)
