"""Fixtures of the MongoDB connector's tests: a real mongod, with and without TLS."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509

from scripts.mongod import Mongod, running
from tests.functions.connectors.mongodb.mongod_rig import PASSWORD, document


@pytest.fixture(scope="package")
def mongod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mongod]:
    with running(tmp_path_factory.mktemp("mongod"), PASSWORD) as server:
        yield server


@pytest.fixture(autouse=True)
def _password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONGO_PASSWORD", PASSWORD)


@pytest.fixture
def collection(mongod: Mongod, request: pytest.FixtureRequest) -> Iterator[Any]:
    """An empty collection with an index on its time."""
    with mongod.admin() as client:
        collection = client.monitoring[f"samples{abs(hash(request.node.nodeid))}"]
        collection.create_index("timestamp")
        yield collection
        collection.drop()


@pytest.fixture(scope="package")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Mongod, Path]]:
    """A server that accepts TLS only and has one document, and the folder of the certificates."""
    folder = tmp_path_factory.mktemp("tls")
    authority, stranger = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    stranger.cert_pem.write_to_path(str(folder / "other.pem"))
    for name, issued in (
        ("server", authority.issue_cert("127.0.0.1", "localhost")),
        ("client", authority.issue_cert("client@example.org", common_name="hoursight")),
    ):
        issued.private_key_and_cert_chain_pem.write_to_path(str(folder / f"{name}.pem"))
    tls = (
        "--tlsMode", "requireTLS", "--tlsCertificateKeyFile", str(folder / "server.pem"),
        "--tlsCAFile", str(folder / "ca.pem"), "--tlsAllowConnectionsWithoutCertificates",
    )  # fmt: skip
    options = {"tls": True, "tlsCAFile": str(folder / "ca.pem")}
    with running(folder / "mongod", PASSWORD, *tls, **options) as server:
        with server.admin(**options) as client:
            client.monitoring.samples.insert_one(document())
            roles = [{"role": "read", "db": "monitoring"}]
            client["$external"].command("createUser", _subject(folder / "client.pem"), roles=roles)
        yield server, folder


def _subject(path: Path) -> str:
    text = path.read_bytes()
    certificate = x509.load_pem_x509_certificate(text[text.index(b"-----BEGIN CERT") :])
    return certificate.subject.rfc4514_string()
