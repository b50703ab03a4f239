"""The push endpoints: HTTP checks before the ingest service, and its answers."""

import gzip
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from litestar.testing import RequestFactory

from functions.ingest.ingest_service import serve_ingest
from functions.ingest.remote_write import WriteRequest
from storage.config.folders import Folders
from storage.inbox.segment import provenance_of
from storage.ipc.push_protocol import MAX_SENT_BYTES
from tests.web.conftest import Client
from tests.web.test_auth import site
from web.access_trace import peer_of
from web.api import ingest_api
from web.rendering import SiteRequest

RECORD = {"server": "a", "ts": "2026-05-06T12:00:00Z", "mem_used_pct": 1.5}
ENDPOINTS = ("/feed", "/feed/data", "/api/v2/write", "/write", "/api/v1/write")
SECOND = "application/x-protobuf;proto=io.prometheus.write.v2.Request"
PROTOBUF = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Folders.at(tmp_path_factory.mktemp("var")).create().data


@pytest.fixture(scope="module")
def client(data: Path) -> Iterator[Client]:
    """The site, with an ingest service."""
    with serve_ingest(Folders.at(data)), site(data, False, "127.0.0.1") as client:
        yield client


def rows_of(data: Path, server: str) -> list[dict[str, Any]]:
    paths = Folders.at(data).inbox.glob("*-metrics-*.parquet")
    return [r for path in paths for r in pq.read_table(path).to_pylist() if r["server"] == server]


@pytest.mark.parametrize("path", ["/feed", "/feed/data"])
def test_records_are_accepted_plain_and_compressed(client: Client, data: Path, path: str) -> None:
    server = path.replace("/", "-")
    record = RECORD | {"server": server}
    plain = client.post(path, json=[record, {"server": "b"}])
    assert plain.status_code == 200
    assert plain.json()["accepted"] == plain.json()["refused"] == 1
    assert "no time" in plain.json()["reasons"][0]["reason"]
    packed = client.post(
        path, content=gzip.compress(json.dumps({"records": [record]}).encode()),
        headers={"Content-Type": "application/json", "Content-Encoding": "gzip"},
    )  # fmt: skip
    assert packed.json()["accepted"] == 1
    assert [row["mem_used_pct"] for row in rows_of(data, server)] == [1.5, 1.5]


@pytest.mark.parametrize("path", ["/api/v2/write?org=o&bucket=b&precision=s", "/write?db=x"])
def test_lines_are_accepted_with_an_empty_response(client: Client, path: str) -> None:
    time = 1778068800 if "precision" in path else 1778068800 * 10**9
    answer = client.post(path, content=f"m,host=a mem_used_pct=1 {time}")
    assert (answer.status_code, answer.content) == (204, b"")
    broken = client.post(path, content=f"m,host=a mem_used_pct=1 {time}\nm,host=a")
    assert broken.status_code == 400
    assert "partial write: 1 of 2 lines" in broken.json()["message"]


def test_series_are_accepted_with_an_empty_response(client: Client) -> None:
    request = WriteRequest()
    request.timeseries.add().labels.add(name="__name__", value="up")
    body = pa.compress(request.SerializeToString(), codec="snappy", asbytes=True)
    assert client.post("/api/v1/write", content=body, headers=PROTOBUF).status_code == 204


def test_two_senders_are_told_apart_by_address_and_program(client: Client, data: Path) -> None:
    for load in (1, 2):
        record = RECORD | {"server": "sent twice", "mem_used_pct": load}
        client.post("/feed", json=[record], headers={"User-Agent": f"agent/{load}"})
    paths = Folders.at(data).inbox.glob("*-metrics-*.parquet")
    reasons = [reason for path in paths for reason in provenance_of(path).reasons]
    [mine] = [reason for reason in reasons if "write sent twice at" in reason]
    assert "testclient (agent/1); testclient (agent/2)" in mine


@pytest.mark.parametrize(
    ("headers", "sender"),
    [
        ({}, "127.0.0.1"),
        ({"User-Agent": "Prometheus/2.42.0"}, "127.0.0.1 (Prometheus/2.42.0)"),
        ({"User-Agent": "a" * 99, "X-Forwarded-For": "10.0.0.5"},
         f"10.0.0.5 by 127.0.0.1 ({'a' * 60})"),
    ],
)  # fmt: skip
def test_a_sender_behind_a_proxy_has_the_address_that_the_proxy_states(
    headers: dict[str, str], sender: str
) -> None:
    request = RequestFactory(server="127.0.0.1").post("/feed", headers=headers)
    request.scope["client"] = ("127.0.0.1", 1)
    assert ingest_api._sender(SiteRequest(request.scope)) == sender


@pytest.mark.parametrize(
    ("path", "headers", "says"),
    [
        ("/feed", {"Content-Type": "text/csv"}, "application/json"),
        ("/feed", {"Content-Type": ""}, "application/json"),
        ("/feed", {"Content-Type": "application/json", "Content-Encoding": "br"}, "gzip"),
        ("/write", {"Content-Encoding": "zstd"}, "gzip"),
        ("/api/v1/write", {"Content-Type": "application/json"}, "application/x-protobuf"),
        ("/api/v1/write", {"Content-Type": "application/x-protobuf"}, "snappy"),
        ("/api/v1/write", PROTOBUF | {"Content-Type": SECOND}, "prometheus.WriteRequest"),
    ],
)  # fmt: skip
def test_an_unsupported_type_is_415_and_names_the_supported_one(
    client: Client, path: str, headers: dict[str, str], says: str
) -> None:
    answer = client.post(path, content=b"[]", headers=headers)
    assert answer.status_code == 415
    assert says in answer.json()["remedy"]


@pytest.mark.parametrize("path", ENDPOINTS)
def test_an_endless_body_is_413(client: Client, path: str) -> None:
    headers = PROTOBUF if path == "/api/v1/write" else {"Content-Type": "application/json"}
    parts = (b"x" * (1 << 20) for _ in range((MAX_SENT_BYTES >> 20) + 1))
    answer = client.post(path, content=parts, headers=headers)
    assert answer.status_code == 413
    assert "larger than 16 MiB" in answer.json()["detail"]


def test_a_rejection_of_the_ingest_service_is_forwarded(client: Client) -> None:
    answer = client.post("/feed", content=b"{", headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["remedy"] == "send a list of records as JSON"


@pytest.mark.parametrize("path", ENDPOINTS)
def test_pushes_without_a_turn_are_503_with_retry_after(
    client: Client, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(client.app.state.push_turns, "limit", 0)
    monkeypatch.setattr(client.app.state.push_turns, "max_wait_s", 0.01)
    headers = PROTOBUF if path == "/api/v1/write" else {"Content-Type": "application/json"}
    answer = client.post(path, content=b"[]", headers=headers)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    assert answer.json()["remedy"]


@pytest.mark.parametrize("path", ENDPOINTS)
def test_without_an_ingest_service_a_push_is_503_with_retry_after(
    tmp_path: Path, path: str
) -> None:
    headers = PROTOBUF if path == "/api/v1/write" else {"Content-Type": "application/json"}
    with site(tmp_path, False, "127.0.0.1") as client:
        answer = client.post(path, content=b"[]", headers=headers)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    assert "start one with 'hoursight up'" in answer.json()["message"]


def test_the_api_description_has_the_endpoints_and_their_errors(client: Client) -> None:
    description = client.get("/schema").json()
    paths = description["paths"]
    assert description["components"]["securitySchemes"].keys() == {"key", "bearer", "basic"}
    for path in ENDPOINTS:
        assert paths[path]["post"]["requestBody"]["content"]
        assert {"401", "403", "413", "415", "422", "503"} <= paths[path]["post"]["responses"].keys()


def test_the_examples_of_the_api_description_are_accepted(client: Client) -> None:
    paths = client.get("/schema").json()["paths"]
    (records,) = paths["/feed"]["post"]["requestBody"]["content"].values()
    for example in records["examples"].values():
        answer = client.post("/feed", json=example["value"]).json()
        assert (answer["accepted"], answer["refused"], answer["fields_ignored"]) == (1, 0, [])
    (lines,) = paths["/write"]["post"]["requestBody"]["content"].values()
    sent = lines["examples"]["telegraf"]["value"]
    assert client.post("/write", content=sent).status_code == 204


@pytest.mark.parametrize(
    ("host", "peer"),
    [
        ("10.0.0.5", "10.0.0.5"), ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"), ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:10.0.0.5", "10.0.0.5"), ("", ""), ("testclient", "testclient"),
    ],
)  # fmt: skip
def test_the_addresses_of_one_network_are_one_peer(host: str, peer: str) -> None:
    assert peer_of(host) == peer


@pytest.mark.parametrize(
    "body", ["cpu,host=q usage_user=1 1778068800000000000", "cpu,host=q 1", ""]
)
def test_the_password_in_the_url_of_a_v1_writer_is_stored_nowhere(
    client: Client, data: Path, caplog: pytest.LogCaptureFixture, body: str
) -> None:
    with caplog.at_level(logging.DEBUG):
        client.post("/write?u=telegraf&p=hunter2&db=hunter2", content=body)
        client.post("/write?p=hunter2&precision=wrong", content=body)
        client.get("/write?p=hunter2")
    files = [path for path in data.rglob("*") if path.is_file()]
    assert [path for path in files if b"hunter2" in path.read_bytes()] == []
    logged = [r.getMessage() for r in caplog.records if r.name != "httpx"]  # the test's own client
    assert logged
    assert "hunter2" not in "".join(logged)
