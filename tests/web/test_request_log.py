"""HTTP requests in the log."""

import logging
import re

import pytest
from litestar.testing import TestClient

from tests.web.site_lakes import SiteLakeWriter
from web.app import create_app
from web.request_log import logging_requests


def test_a_request_is_a_line_at_debug_without_its_query(
    lake: SiteLakeWriter, caplog: pytest.LogCaptureFixture
) -> None:
    app = logging_requests(create_app(lake.folders.data))
    with TestClient(app) as client, caplog.at_level(logging.DEBUG, "web.request_log"):
        client.get("/healthz?p=sesame")
        client.get("/nothing")
    assert [re.sub(r"[\d.]+ ms", "N ms", m) for m in caplog.messages] == [
        "GET /healthz: 200 after N ms", "GET /nothing: 404 after N ms",
    ]  # fmt: skip


def test_at_info_there_is_none(lake: SiteLakeWriter, caplog: pytest.LogCaptureFixture) -> None:
    app = logging_requests(create_app(lake.folders.data))
    with TestClient(app) as client, caplog.at_level(logging.INFO, "web.request_log"):
        client.get("/healthz")
    assert not [r for r in caplog.records if r.name == "web.request_log"]
