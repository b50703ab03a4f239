"""What a Prometheus of one's own cannot be made to say: a protocol double says it."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
import pytest

from functions.connectors.prometheus.prometheus_connection import PrometheusConnection
from functions.connectors.prometheus.range_api import MAX_BYTES, RangeApi, RangeTooLarge
from functions.connectors.prometheus.scrapes import Scrapes
from functions.engine.function import Unreachable

NOTHING = json.dumps({"status": "success", "data": {"resultType": "matrix", "result": []}})
TIMEOUT = json.dumps({"status": "error", "errorType": "timeout", "error": "query timed out"})


class Double(ThreadingHTTPServer):
    """Answers each request with the next of `replies`, the last one again and again."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), ApiHandler)
        self.url = f"http://127.0.0.1:{self.server_port}/tenant"
        self.replies: list[tuple[int, bytes]] = [(200, NOTHING.encode())]
        self.asked: list[tuple[str, dict[str, str]]] = []


class ApiHandler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        double = self.server
        assert isinstance(double, Double)
        double.asked.append((self.path, dict(self.headers)))
        status, body = double.replies[0]
        del double.replies[: len(double.replies) > 1]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except ConnectionError:
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def double() -> Iterator[Double]:
    with Double() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def api(double: Double) -> Iterator[RangeApi]:
    api = RangeApi(PrometheusConnection(url=double.url))
    yield api
    api.close()


def asked(api: RangeApi) -> Any:
    return api.range("load", range(0, 60, 15), time.monotonic() + 10)


def test_token_and_headers_are_sent_along(double, monkeypatch):
    monkeypatch.setenv("TOKEN", "t0ken")
    keys = {"token_env": "TOKEN", "headers": {"X-Scope-OrgID": "team-a"}}
    api = RangeApi(msgspec.convert(keys | {"url": double.url}, PrometheusConnection))
    assert asked(api) == []
    api.close()
    [(path, headers)] = double.asked
    assert path == "/tenant/api/v1/query_range?query=load&start=0&end=45&step=15"
    assert (headers["Authorization"], headers["X-Scope-OrgID"]) == ("Bearer t0ken", "team-a")


@pytest.mark.parametrize(
    ("status", "body", "error", "says"),
    [
        (403, "no", Unreachable, r"refused the credentials \(403\): check user and password_env"),
        (503, "Service Unavailable", Unreachable, r"is busy or just starting \(503\): Service"),
        (429, "slow down", Unreachable, r"busy .* \(429\): slow down"),
        (503, TIMEOUT, RangeTooLarge, r"could not answer load \(503\): query timed out"),
        (200, "<html>Log in</html>", Unreachable, "no Prometheus API at .*<html>Log in"),
        (302, "", Unreachable, r"no Prometheus API at .* \(302: nothing\)"),
        (200, '{"status": "success", "data": {"result": [{"metric": 1}]}}', Unreachable, "API"),
        (200, " " * (MAX_BYTES + 1), RangeTooLarge, "larger than 16 MiB"),
    ],
)
def test_each_refusal_has_its_words(double, api, status, body, error, says):
    double.replies = [(status, body.encode())]
    with pytest.raises(error, match=says):
        asked(api)


def test_warnings_are_handed_on_and_series_without_values_left_out(double, api):
    answer = {"status": "success", "warnings": ["store a is down"],
              "data": {"result": [{"metric": {"instance": "a"}, "histograms": []}]}}  # fmt: skip
    double.replies = [(200, json.dumps(answer).encode())]
    assert asked(api) == []
    assert api.warnings == ["store a is down"]


def test_a_scrape_that_lands_while_it_is_asked_for_is_left_for_the_next_time(double, api):
    def answer(*values: list[Any]) -> tuple[int, bytes]:
        series = {"metric": {"instance": "a:9100", "__name__": "node_load1"}, "values": values}
        return 200, json.dumps({"status": "success", "data": {"result": [series]}}).encode()

    old, new = [14.0, "1"], [29.0, "1"]
    loads = answer([15, "0.5"], [30, "0.75"])  # 0.75 is of the new scrape
    nothing = (200, NOTHING.encode())
    scrapes = Scrapes(api, PrometheusConnection(url=double.url))

    def read(before: tuple[int, bytes], after: tuple[int, bytes]) -> list[tuple[float, float]]:
        double.replies = [before, nothing, nothing, loads, nothing, nothing, after]
        window = scrapes.read(range(0, 31, 15), True, time.monotonic() + 10)
        return [(d["timestamp"].timestamp(), d["load_average"]) for d in window.documents]

    assert read(answer(old, [28.0, "1"]), answer(old, [28.0, "1"], new)) == [(14, 0.5)]
    assert read(answer(old, new), answer(old, new)) == [(14, 0.5), (29, 0.75)]
