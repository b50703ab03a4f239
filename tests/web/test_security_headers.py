"""The headers of every answer, errors included."""

import re

import pytest

from tests.web.conftest import Client
from web.security_headers import HEADERS

ANSWERS = [
    ("GET", "/", 200), ("GET", "/servers/nginx-1.csv", 200), ("GET", "/fleet.parquet", 200),
    ("GET", "/metrics", 200), ("GET", "/healthz", 200), ("GET", "/schema", 200),
    ("GET", "/nowhere", 404), ("GET", "/servers/nobody", 404), ("GET", "/static/nothing.js", 404),
    ("GET", "/static/%00", 400), ("PUT", "/feed", 405), ("POST", "/feed", 415),
    ("OPTIONS", "/", 204), ("GET", "/?show=x", 400), ("POST", "/write", 503),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "status"), ANSWERS)
def test_each_answer_has_all_of_them_and_is_not_cached(
    client: Client, method: str, path: str, status: int
) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert answer.headers["cache-control"] == "no-store"
    assert "server" not in answer.headers


@pytest.mark.parametrize(
    "headers", [{"Host": "monitor.example"}, {"Host": "["}, {"X-Forwarded-For": "1"}]
)
def test_a_refused_request_gets_them_too(client: Client, headers: dict[str, str]) -> None:
    answer = client.get("/", headers=headers)
    assert answer.status_code in (400, 401)
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS


def test_the_policy_is_one_that_a_strict_checker_accepts() -> None:
    policy = dict(
        part.strip().split(" ", 1) for part in HEADERS["Content-Security-Policy"].split(";")
    )
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["form-action"] == "'self'"
    assert not re.search(r"unsafe|\*|http", " ".join(policy.values()))
    assert re.fullmatch(r"([a-z-]+=\(\)(, )?)+", HEADERS["Permissions-Policy"])
