"""Elasticsearch connection: credentials, hosts and TLS, and mistakes in the source file."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from functions.connectors.elasticsearch.elasticsearch_connection import ElasticsearchConnection
from functions.connectors.source_file import read_source
from functions.normalize.strict_toml import SourceInvalid
from storage.config.folders import Folders
from tests.conftest import NOW
from tests.functions.connectors.elasticsearch.elastic_rig import (
    document,
    source_text,
    with_api_key,
)
from tests.functions.connectors.elasticsearch_double.index_writer import (
    API_KEY,
    IndexWriter,
    base64_of,
)
from tests.functions.connectors.source_reads import servers_of


@pytest.mark.skipif(not API_KEY, reason="ELASTICSEARCH_API_KEY is not set")
@pytest.mark.parametrize("encoded", [False, True])
def test_an_api_key_is_accepted_as_a_pair_and_encoded(
    front, writer, open_read, monkeypatch, encoded
):
    if encoded:
        monkeypatch.setenv("ELASTIC_KEY", base64_of(API_KEY))
    index = writer.index()
    writer.put(index, [document()])
    text = with_api_key(source_text(front, index))
    assert servers_of(open_read(text).run(NOW, None)) == ["web1"]


def test_another_host_is_tried_when_one_is_down(front, writer, open_read):
    index = writer.index()
    writer.put(index, [document()])
    hosts = f'["http://127.0.0.1:1", "{front.url}"]'
    text = source_text(front, index).replace(f'["{front.url}"]', hosts)
    assert servers_of(open_read(text).run(NOW, None)) == ["web1"]


def test_a_server_is_trusted_by_the_fingerprint_of_its_certificate(secured, open_read):
    server, folder = secured
    writer = IndexWriter(server, ca_certs=str(folder / "ca.pem"))
    index = writer.index()
    writer.put(index, [document()])
    certificate = x509.load_pem_x509_certificate((folder / "server.pem").read_bytes())
    fingerprint = certificate.fingerprint(SHA256()).hex(":")
    text = source_text(server, index, f'fingerprint = "{fingerprint}"')
    assert servers_of(open_read(text).run(NOW, None)) == ["web1"]
    writer.close()


def test_messages_name_the_credentials_that_are_used():
    assert ElasticsearchConnection("i").reader == "a client without credentials"
    assert ElasticsearchConnection("i", api_key_env="KEY").reader == "this API key"
    user = ElasticsearchConnection("i", user="ann", password_file="/p")  # noqa: S106 - a path
    assert user.reader == "the user 'ann'"


@pytest.mark.parametrize(
    ("connection", "message"),
    [
        ('hosts = ["es1:9200"]', "hosts has 'es1:9200', expected scheme, name and port"),
        ('hosts = ["https://u:p@es1:9200"]', "hosts has a user or password, which must not be in"),
        ("hosts = []", "hosts is empty"),
        ('user = "u"', "user needs password_env or password_file"),
        ('api_key_env = "A"\nuser = "u"', "an API key and a user are both set"),
        ('ca_file = "/ca.pem"', "hosts begin with http://, but ca_file or fingerprint is set"),
        ('hosts = ["https://a:1"]\nfingerprint = "AB"', "'AB', expected the SHA-256"),
        ("page = 10001", "page is 10001, expected 1 to 10000"),
        ('timeout = "30s"', "timeout is '30s', expected at most 20s"),
        ('overlap = "soon"', "overlap: 'soon' is"),
    ],
)
def test_a_mistake_in_the_connection_is_rejected_with_the_key(tmp_path, connection, message):
    text = f'kind = "elasticsearch"\n[connection]\nindex = "x"\n{connection}'.encode()
    with pytest.raises(SourceInvalid, match=message):
        read_source("elastic", text, Folders.at(tmp_path))
