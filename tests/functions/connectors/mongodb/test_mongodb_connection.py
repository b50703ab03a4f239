"""MongoDB connection: credentials, certificates and URIs, and mistakes in the source file."""

from urllib.parse import quote_plus

import pytest

from functions.connectors.source_file import read_source
from functions.normalize.strict_toml import SourceInvalid
from storage.config.folders import Folders
from tests.conftest import NOW
from tests.functions.connectors.mongodb.mongod_rig import PASSWORD, document, source_text
from tests.functions.connectors.source_reads import servers_of


def test_tls_with_a_password_and_with_a_client_certificate(secured, open_read):
    server, folder = secured
    tls = f'tls = true\nca_file = "{folder}/ca.pem"'
    by_password = source_text(server, "samples", tls)
    certificate = f'certificate_file = "{folder}/client.pem"\nauth_mechanism = "MONGODB-X509"'
    by_certificate = source_text(server, "samples", f"{tls}\n{certificate}").replace(
        'user = "reader"\npassword_env = "MONGO_PASSWORD"\n', ""
    )
    for text in (by_password, by_certificate):
        assert servers_of(open_read(text).run(NOW, None)) == ["db1"]


def test_a_uri_must_not_hold_the_password(mongod, collection, open_read):
    uri = f'uri = "mongodb://127.0.0.1:{mongod.port}/"'
    text = source_text(mongod, collection.name).replace(f"port = {mongod.port}", uri)
    collection.insert_one(document())
    assert servers_of(open_read(text).run(NOW, None)) == ["db1"]
    with pytest.raises(SourceInvalid, match=r"connection\.uri holds a password, which must not"):
        open_read(text.replace("//127", "//reader:secret@127")).run(NOW, None)


def test_a_whole_uri_comes_from_the_environment(mongod, collection, open_read, monkeypatch):
    uri = f"mongodb://reader:{quote_plus(PASSWORD)}@127.0.0.1:{mongod.port}/?authSource=admin"
    monkeypatch.setenv("MONGO_URI", uri)
    collection.insert_one(document())
    text = f"""
kind = "mongodb"
[connection]
database = "monitoring"
collection = "{collection.name}"
uri_env = "MONGO_URI"
direct = true
"""
    assert servers_of(open_read(text).run(NOW, None)) == ["db1"]


@pytest.mark.parametrize(
    ("connection", "message"),
    [
        ("page = 0", "page is 0, expected 1 to 50000 documents"),
        ('timeout = "1m"', "timeout is '1m', expected at most 30s"),
        ('overlap = "soon"', "overlap: 'soon' is"),
        ('host = "a"\nuri_env = "URI"', "host and uri are both set: leave one of them out"),
        ('ca_file = "/ca.pem"', "ca_file or certificate_file is set, but tls is false"),
        ('auth_mechanism = "PLAIN"', "connection.auth_mechanism is 'PLAIN'"),
    ],
)
def test_a_mistake_in_the_connection_is_rejected_with_the_key(tmp_path, connection, message):
    text = f'kind = "mongodb"\n[connection]\ndatabase = "d"\ncollection = "c"\n{connection}'
    with pytest.raises(SourceInvalid, match=message):
        read_source("mongo", text.encode(), Folders.at(tmp_path))


@pytest.mark.parametrize(
    ("connection", "message"),
    [
        ('uri = "mongodb://a:b:c"', "connection.uri cannot be read"),
        ('tls = true\nca_file = "/no/ca.pem"', "connection: "),
    ],
)
def test_a_connection_that_cannot_be_opened_is_rejected(open_read, connection, message):
    text = f'kind = "mongodb"\n[connection]\ndatabase = "d"\ncollection = "c"\n{connection}'
    with pytest.raises(SourceInvalid, match=message):
        open_read(text).run(NOW, None)
