"""Prometheus connection: label matchers, the client, and mistakes in the source file."""

from typing import Any

import pytest

from functions.connectors.prometheus.prometheus_connection import PrometheusConnection, client_of
from functions.connectors.source_file import read_source
from functions.normalize.strict_toml import SourceInvalid
from storage.config.folders import Folders


@pytest.mark.parametrize(
    ("keys", "matchers"),
    [
        ({}, ""),
        ({"job": "node"}, 'job="node"'),
        ({"job": 'a"b'}, r'job="a\"b"'),
        ({"match": '{env="prod", rack!~"r.*"}'}, 'env="prod", rack!~"r.*"'),
        ({"job": "node", "match": ' env="prod", '}, 'job="node",env="prod"'),
    ],
)
def test_job_and_match_become_label_matchers(keys, matchers):
    assert PrometheusConnection(**keys).matchers == matchers


def test_the_client_sends_credentials_and_uses_no_proxy_of_the_environment(monkeypatch):
    monkeypatch.setenv("TOKEN", "t0ken")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    keys: dict[str, Any] = {"token_env": "TOKEN", "headers": {"X-Scope-OrgID": "a"}}
    client = client_of(PrometheusConnection(**keys))
    assert client.headers["Authorization"] == "Bearer t0ken"
    assert client.headers["X-Scope-OrgID"] == "a"
    assert not client.trust_env
    client.close()


@pytest.mark.parametrize(
    ("connection", "message"),
    [
        ('url = "ftp://x"', "url is 'ftp://x': write it like"),
        ('url = "https://me:secret@x"', "url holds credentials: write user"),
        ('url = "http://x:port"', "url is 'http://x:port', which is not a valid URL"),
        ('ca_file = "/ca.pem"', "ca_file or certificate_file is set, but url is 'http://127"),
        ('step = "10m"', "step is '10m', expected 1s to 5m"),
        ('server_label = ["a", "b-c"]', r"server_label is \['a', 'b-c'\], expected a label"),
        ('step = "soon"', "step: 'soon' is"),
        ('timeout = "1m"', "timeout is '1m', expected at most 10s"),
        ('user = "u"\ntoken_env = "T"', "user and a token are both set"),
        ('headers = { authorization = "x" }', "headers has Authorization, which is a secret"),
        ('queries = { server = "up" }', "queries has 'server', which is a field of every scrape"),
    ],
)
def test_a_mistake_in_the_connection_is_rejected_with_the_key(tmp_path, connection, message):
    text = f'kind = "prometheus"\n[connection]\n{connection}'
    with pytest.raises(SourceInvalid, match=message):
        read_source("prom", text.encode(), Folders.at(tmp_path))


def test_a_certificate_that_cannot_be_read_is_rejected_with_the_keys():
    connection = PrometheusConnection(url="https://x", ca_file="/nowhere.pem")
    with pytest.raises(SourceInvalid, match="check ca_file, certificate_file and headers"):
        client_of(connection)
