"""The settings page: origins of the settings, and what lies on the disk."""

import re
from html import unescape
from pathlib import Path

from litestar.testing import TestClient

from tests.web.conftest import Client
from tests.web.site_lakes import SiteLakeWriter
from web.app import create_app


def rows(text: str, attribute: str) -> dict[str, str]:
    found = re.findall(rf'<tr[^>]*data-{attribute}="([^"]*)">(.*?)</tr>', text, re.S)
    return {unescape(name): unescape(re.sub(r"<[^>]+>|\s+", " ", body)) for name, body in found}


def test_each_setting_says_where_it_comes_from(site: Client, lake: SiteLakeWriter) -> None:
    lake.folders.settings.write_text("[lake]\nreader_memory = '1GB'\n")
    settings = rows(site.get("/settings").text, "setting")
    assert re.search(r"1GB.*the file", settings["lake.reader_memory"])
    assert re.search(r"8080.*default", settings["web.port"])
    assert next(iter(settings)) == "lake.reader_memory"


def test_what_lies_on_the_disk_has_its_size_and_its_limit(
    site: Client, lake: SiteLakeWriter
) -> None:
    (lake.folders.rejected / "x.parquet").write_bytes(bytes(2000))
    text = site.get("/settings").text
    assert re.search(r"1 GB +1 +2.0 kB", rows(text, "kind")["rejected segments"])
    assert "30d" in rows(text, "table")["runs"]


def test_a_file_that_is_not_valid_is_named_and_the_last_values_stay(
    site: Client, lake: SiteLakeWriter
) -> None:
    lake.folders.settings.write_text("[web]\nport = 8081\n")
    site.get("/settings")
    lake.folders.settings.write_text("[web]\nport = 'x'\n")
    text = site.get("/settings").text
    assert re.search(r"8081", rows(text, "setting")["web.port"])
    assert 'data-state="not-valid"' in text
    assert "port is &#39;x&#39;" in text


def test_without_a_lake_the_page_says_so(tmp_path: Path) -> None:
    with TestClient(create_app(tmp_path), "http://127.0.0.1") as client:
        answer = client.get("/settings")
    assert answer.status_code == 200
    assert 'data-state="no-lake"' in answer.text
    assert rows(answer.text, "setting")


def test_a_file_that_was_never_valid_is_named_with_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "hoursight.toml").write_text("[web]\nport = 'x'\n")
    with TestClient(create_app(tmp_path), "http://127.0.0.1") as client:
        answer = client.get("/settings")
    assert answer.status_code == 503
    assert "port is &#39;x&#39;" in answer.text


def test_settings_are_searched_and_a_section_says_what_it_means(site: Client) -> None:
    text = site.get("/settings?q=history_days+8.0").text
    assert list(rows(text, "setting")) == ["sources.simulator.history_days"]
    assert "[sources.simulator]" in text
    assert "The simulated fleet" in text
    assert 'data-state="not-valid"' not in text
    none = site.get("/settings?q=%3Cb%3E&changed=1").text
    assert 'data-state="no-match"' in none
    assert 'value="&lt;b&gt;"' in none
