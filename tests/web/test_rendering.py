"""Templates: pages, fragments for htmx, static URLs and the colours of health statuses."""

import re
from pathlib import Path

import pytest
from jinja2 import Environment
from litestar.testing import RequestFactory, TestClient

from storage.config.api_keys import create_key
from storage.config.folders import Folders
from storage.model.severity import HEALTH_STATUSES, AlertLevel
from tests.conftest import NOW
from tests.web.conftest import Client
from web.app import create_app
from web.rendering import STATIC, may, quoted, server_path, static_path

TEMPLATES = Path(STATIC).parent / "templates"
HTMX = {"HX-Request": "true"}


@pytest.mark.parametrize("path", ["/", "/sources", "/settings", "/servers/nginx-1"])
def test_htmx_gets_a_fragment_and_a_browser_the_whole_page(client: Client, path: str) -> None:
    assert client.get(path).text.startswith("<!doctype html>")
    fragment = client.get(path, headers=HTMX)
    assert "<html" not in fragment.text
    assert 'id="problems" hx-swap-oob="true"' in fragment.text


def test_htmx_gets_the_whole_page_when_it_restores_it_from_the_history(client: Client) -> None:
    answer = client.get("/", headers=HTMX | {"HX-History-Restore-Request": "true"})
    assert answer.text.startswith("<!doctype html>")
    assert "HX-History-Restore-Request" in answer.headers["vary"]


def test_pages_are_not_cached(client: Client) -> None:
    assert client.get("/").headers["cache-control"] == "no-store"


def test_the_url_of_a_static_file_has_the_digest_of_its_content() -> None:
    assert re.fullmatch(r"/static/charts\.js\?v=[0-9a-f]{10}", static_path("charts.js"))
    with pytest.raises(FileNotFoundError):
        static_path("missing.js")


def test_a_server_name_is_one_segment_of_its_url() -> None:
    assert quoted("a/b?c#d") == "a%2Fb%3Fc%23d"
    assert server_path("<b>") == "/servers/%3Cb%3E"


def test_each_health_status_has_its_colour() -> None:
    css = (STATIC / "hoursight.css").read_text()
    for status in HEALTH_STATUSES:
        assert re.search(rf"^\.{status.slug} {{ --tile: ", css, re.M), status.slug


def test_each_alert_level_has_its_colour_on_problems_and_sources() -> None:
    css = (STATIC / "hoursight.css").read_text()
    for level in AlertLevel.CRITICAL, AlertLevel.WARNING:
        assert f".banner.{level} {{" in css
        assert f".sources tr.{level} {{" in css


def test_templates_and_scripts_do_not_spell_health_statuses() -> None:
    names = {status.name for status in HEALTH_STATUSES} | {s.slug for s in HEALTH_STATUSES}
    names -= {"warning", "critical"}  # levels of a metric, in the legend and in macros
    for file in (*TEMPLATES.glob("*.html"), *STATIC.glob("*.js")):
        words = set(re.findall(r"[\"'>]([A-Za-z ]+)[\"'<]", file.read_text()))
        assert not words & names, file.name


def test_a_page_offers_only_what_its_visitor_may_do(tmp_path: Path) -> None:
    with TestClient(create_app(tmp_path), "http://127.0.0.1") as client:
        request = RequestFactory(app=client.app).get("/", headers={"Host": "127.0.0.1"})
        operate = Environment(autoescape=True).from_string("{{ may('operate') }}")
        operate.globals["may"] = may
        assert operate.render(request=request) == "True"
        create_key(Folders.at(tmp_path), "me", ["read"], NOW)
        assert operate.render(request=request) == "False"
