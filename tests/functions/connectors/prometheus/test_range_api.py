"""Range API against a protocol double, and a real server for the errors that it has itself."""

import gzip
import json
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from functions.connectors.prometheus.prometheus_connection import PrometheusConnection
from functions.connectors.prometheus.range_api import MAX_BYTES, RangeApi, RangeTooLarge
from functions.engine.function import Unreachable
from scripts.ports import free_port
from tests.conftest import NOW
from tests.functions.connectors.prometheus.api_double import ApiDouble, matrix
from tests.functions.prometheus_server import needs_prometheus

TIMEOUT = json.dumps({"status": "error", "errorType": "timeout", "error": "query timed out"})


@pytest.fixture
def double() -> Iterator[ApiDouble]:
    with ApiDouble() as double:
        yield double


@pytest.fixture
def api(double: ApiDouble) -> Iterator[RangeApi]:
    api = RangeApi(PrometheusConnection(url=double.url))
    yield api
    api.close()


def load(api: RangeApi) -> Any:
    return api.range("load", range(0, 60, 15), time.monotonic() + 30)


def test_token_and_headers_are_sent(double, monkeypatch):
    monkeypatch.setenv("TOKEN", "t0ken")
    keys = {"token_env": "TOKEN", "headers": {"X-Scope-OrgID": "team-a"}}
    api = RangeApi(msgspec.convert(keys | {"url": double.url}, PrometheusConnection))
    assert load(api) == []
    api.close()
    [(path, headers)] = double.requests
    assert path == "/tenant/api/v1/query_range?query=load&start=0&end=45&step=15"
    assert (headers["Authorization"], headers["X-Scope-OrgID"]) == ("Bearer t0ken", "team-a")


def test_samples_are_queried_as_a_range_that_ends_at_the_end(double, api):
    double.replies = [(200, matrix([14, "1"], [29, "2"]))]
    [series] = api.samples("up{}", 10, 40, time.monotonic() + 30)
    assert series.values == [(14, "1"), (29, "2")]
    assert double.requests[0][0] == "/tenant/api/v1/query?query=up%7B%7D%5B30s%5D&time=40"


@pytest.mark.parametrize(
    ("status", "body", "error", "message"),
    [
        (403, "no", Unreachable, r"refused the credentials \(403\): check user and password_env"),
        (503, "Service Unavailable", Unreachable, r"is busy or still starting \(503\): Service"),
        (429, "slow down", Unreachable, r"busy .* \(429\): slow down"),
        (503, TIMEOUT, RangeTooLarge, r"could not answer load \(503\): query timed out"),
        (200, "<html>Log in</html>", Unreachable, "no Prometheus API at .*<html>Log in"),
        (302, "", Unreachable, r"no Prometheus API at .* \(302: empty response\)"),
        (200, '{"status": "success", "data": {"result": [{"metric": 1}]}}', Unreachable, "API"),
        (200, " " * (MAX_BYTES + 1), RangeTooLarge, "larger than 16 MiB: select fewer series"),
    ],
)
def test_each_error_response_has_its_message(double, api, status, body, error, message):
    double.replies = [(status, body.encode())]
    with pytest.raises(error, match=message):
        load(api)


def test_a_response_that_ends_after_the_deadline_is_too_large(double, api):
    double.replies = [(200, matrix([15, "1"]))]
    with pytest.raises(RangeTooLarge, match="too slowly for its samples to be read within a run"):
        api.range("load", range(0, 60, 15), time.monotonic() - 1)


def test_warnings_are_collected_and_series_without_values_skipped(double, api):
    content = {"status": "success", "warnings": ["store a is down"],
               "data": {"result": [{"metric": {"instance": "a"}, "histograms": []}]}}  # fmt: skip
    double.replies = [(200, json.dumps(content).encode())]
    assert load(api) == []
    assert api.warnings == ["store a is down"]


@needs_prometheus
@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"user": "stranger"}, r"refused the credentials of 'stranger' \(401\): check user"),
        ({"url": "http"}, "expects TLS: write https:// in url"),
        ({"url": "nobody"}, "refuses connections .*: check url"),
        ({"url": "prefix"}, r"no Prometheus API at .* \(404: .*with the prefix"),
        ({"match": "rack=="}, r"Prometheus refused .* \(400\): .*parse error.*: fix the query"),
    ],
)
def test_an_error_of_a_real_server_is_reported_with_the_remedy(
    server, text, open_read, keys, message
):
    urls = {
        "http": f"http://127.0.0.1:{server.port}", "nobody": f"http://127.0.0.1:{free_port()}",
        "prefix": f"{server.url}/prometheus",
    }  # fmt: skip
    keys = {name: urls.get(value, value) for name, value in keys.items()}
    authority = {"ca_file": None} if keys.get("url", "").startswith("http:") else {}
    with pytest.raises(Unreachable, match=message):
        open_read(text(**keys, **authority)).run(NOW, None)


def test_a_compressed_answer_is_unpacked_no_further_than_the_limit(double, api):
    double.encoding, double.replies = "gzip", [(200, gzip.compress(matrix([15, "1"])))]
    assert len(load(api)) == 1
    double.replies = [(200, gzip.compress(b" " * (MAX_BYTES + 1)))]
    with pytest.raises(RangeTooLarge, match="larger than 16 MiB"):
        load(api)


@pytest.mark.parametrize(
    ("encoding", "says"), [("gzip, gzip", "was not asked for"), ("gzip", "incorrect header")]
)
def test_an_answer_that_is_compressed_otherwise_is_named(double, api, encoding, says):
    double.encoding = encoding
    with pytest.raises(Unreachable, match=says):
        load(api)
