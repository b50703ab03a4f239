"""The monthly report: the page, the file, and months without anything."""

from collections.abc import Iterator

import pytest
from litestar.testing import TestClient

from tests.web.alert_rows import insert_history
from tests.web.conftest import Client
from tests.web.site_lakes import SiteLakeWriter
from tests.web.trust_rows import insert_trust
from web.app import create_app


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    writer = SiteLakeWriter(tmp_path_factory.mktemp("var"))
    insert_trust(writer)
    insert_history(writer)
    with TestClient(create_app(writer.folders.data), "http://127.0.0.1") as client:
        yield client
    writer.close()


def test_the_page_has_the_promises_the_tables_and_a_file(scored: Client) -> None:
    text = scored.get("/trust/report").text
    for words in (
        "80 % bands held 80.0 % of the values, before calibration 70.0 %", "missed 1",
        "The loop ran 100.00 %", "how do we know?", "/trust/report.html?month=",
    ):  # fmt: skip
        assert words in text, words


def test_the_file_is_a_download_of_the_same(scored: Client) -> None:
    answer = scored.get("/trust/report.html")
    assert answer.headers["content-disposition"].startswith('attachment; filename="hoursight-20')
    assert "promises kept" in answer.text
    assert "how do we know?" not in answer.text


def test_a_month_without_scores_says_so_and_a_word_is_refused(scored: Client) -> None:
    assert 'data-state="no-scores"' in scored.get("/trust/report?month=1999-01").text
    answer = scored.get("/trust/report?month=%3Cb%3E")
    assert answer.status_code == 400
    assert "is not a valid month" in answer.text
