"""ETags: 304 for what the sender has, and the data again when it has changed."""

import pytest
from litestar import Litestar, Response, get
from litestar.config.compression import CompressionConfig
from litestar.testing import TestClient

from web.etags import _is_known, answering_unchanged, tagged

DATA = {"rows": b"[" + b"1," * 1000 + b"1]"}


@get("/rows.json", sync_to_thread=False)
def rows() -> Response[bytes]:
    return Response(DATA["rows"], media_type="application/json")


@get("/page", sync_to_thread=False)
def page() -> str:
    return "a page"


@pytest.fixture(scope="module")
def client():
    app = Litestar(
        [rows, page], middleware=[answering_unchanged], after_request=tagged,
        compression_config=CompressionConfig("gzip"),
    )  # fmt: skip
    with TestClient(app) as client:
        yield client


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_data_that_the_sender_has_is_304_without_a_body(client, encoding: str) -> None:
    headers = {"Accept-Encoding": encoding}
    first = client.get("/rows.json", headers=headers)
    assert (first.status_code, first.content) == (200, DATA["rows"])
    again = client.get("/rows.json", headers=headers | {"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert "content-length" not in again.headers


def test_data_that_has_changed_is_sent(client, monkeypatch) -> None:
    etag = client.get("/rows.json").headers["etag"]
    monkeypatch.setitem(DATA, "rows", b"[2]")
    answer = client.get("/rows.json", headers={"If-None-Match": etag})
    assert (answer.status_code, answer.content) == (200, b"[2]")


def test_a_page_has_no_etag(client) -> None:
    assert "etag" not in client.get("/page").headers


@pytest.mark.parametrize(
    ("known", "same"),
    [
        ('W/"a"', True),
        ('"a"', True),
        ('"b", W/"a"', True),
        ("*", True),
        ('"b"', False),
        ("", False),
    ],
)
def test_tags_are_compared_as_if_none_match_does(known: str, same: bool) -> None:
    assert _is_known('W/"a"', known) is same
    assert _is_known(None, known) is False
