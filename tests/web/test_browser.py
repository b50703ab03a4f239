"""The pages as a browser shows them, over the real server."""

import math
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import (
    Browser,
    Page,
    Response,
    ViewportSize,
    expect,
    sync_playwright,
)

from storage.config.folders import Folders
from storage.config.signed_links import SignedLinks
from storage.config.users import add_user
from storage.ipc.rpc import serve_rpc
from tests.web.alert_rows import PREDICTED, episode_rows, insert_history
from tests.web.api.test_functions_api import Engine
from tests.web.axe import serious_findings
from tests.web.pages.test_functions_page import FunctionsEngine
from tests.web.site_lakes import FLEET, LakeServer, SiteLakeWriter, risks, samples, steps
from tests.web.trust_rows import insert_trust
from web.__main__ import SiteServer
from web.app import create_app

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
PHONE = ViewportSize(width=390, height=844)
SOON_MS, LOADED_MS = 15_000, 60_000
expect.set_options(timeout=SOON_MS)  # on a busy machine

pytestmark = [
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"there is no {CHROMIUM}"),
    pytest.mark.timeout(180),
]

Open = Callable[..., Page]


@contextmanager
def served(data: Path) -> Iterator[str]:
    """The site on a free port; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    app = create_app(data)
    config = uvicorn.Config(app, port=port, log_level="error", timeout_graceful_shutdown=5)
    server = SiteServer(config, app.state.live)
    thread = threading.Thread(target=server.run)
    thread.start()
    pause = threading.Event()
    while not server.started and thread.is_alive():
        pause.wait(0.02)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.handle_exit(15, None)
        thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield browser
        browser.close()


@dataclass
class BrowsedSite:
    """The site over the fleet, which is renewed where a test changed it and before it is silent."""

    writer: SiteLakeWriter
    address: str
    renewed: float = -math.inf

    def renew(self, max_age_s: float = 0.0) -> None:
        if time.monotonic() - self.renewed > max_age_s:
            self.writer.clear().fleet()
            self.renewed = time.monotonic()


@pytest.fixture(scope="module")
def browsed_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowsedSite]:
    writer = SiteLakeWriter(tmp_path_factory.mktemp("var"))
    with served(writer.folders.data) as address:
        yield BrowsedSite(writer, address)
    writer.close()


@pytest.fixture
def writer(browsed_site: BrowsedSite) -> Iterator[SiteLakeWriter]:
    """Inserts rows that the next test does not see."""
    browsed_site.renew()
    yield browsed_site.writer
    browsed_site.renewed = -math.inf


@pytest.fixture
def open_page(
    browsed_site: BrowsedSite, browser: Browser, request: pytest.FixtureRequest
) -> Iterator[Open]:
    """Opens a page in a fresh profile; a message on its console fails the test."""
    complaints: list[str] = []
    if "writer" not in request.fixturenames:
        browsed_site.renew(max_age_s=30.0)

    def open_page(path: str, **options: object) -> Page:
        page = browser.new_context(**options).new_page()  # type: ignore[arg-type]
        page.set_default_timeout(SOON_MS)
        page.set_default_navigation_timeout(LOADED_MS)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(browsed_site.address + path)
        return page

    yield open_page
    for context in browser.contexts:
        context.close()
    assert not complaints


def drawn(page: Page) -> Page:
    """The page once its charts are on canvas."""
    expect(page.locator("section.charts")).to_have_attribute("data-drawn", "14", timeout=SOON_MS)
    return page


def overhang(page: Page) -> int:
    """Pixels by which the page is wider than its window."""
    pixels: int = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    return pixels


def test_the_fleet_is_worst_first_and_live(open_page: Open) -> None:
    page = open_page("/", viewport={"width": 1440, "height": 900})
    names = page.locator("tr[data-server]").evaluate_all("rows => rows.map(r => r.dataset.server)")
    assert names[:3] == ["web-07.shop", "ppdb-orders-1", "gpu-node-3"]
    expect(page.locator("#live")).to_have_class("live on", timeout=SOON_MS)
    assert overhang(page) <= 0


def test_charts_distinguish_measured_and_forecast(open_page: Open) -> None:
    page = drawn(open_page("/servers/web-07.shop", viewport={"width": 1440, "height": 900}))
    assert page.locator(".chart canvas").count() == 14
    legend = page.locator(".legend").inner_text()
    for text in ("measured, 24 h", "now", "forecast median", "50, 80 and 96 %"):
        assert text in legend
    assert overhang(page) <= 0


def test_dragging_over_a_chart_shows_that_time(open_page: Open) -> None:
    page = drawn(open_page("/servers/web-07.shop?said=1h", viewport={"width": 1440, "height": 900}))
    box = page.locator(".chart .u-over").first.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 20, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 120, box["y"] + 40, steps=4)
    page.mouse.up()
    page.wait_for_url("**/servers/web-07.shop?said=1h&from=*&to=*", timeout=SOON_MS)
    drawn(page)


@pytest.mark.parametrize("path", ["/", "/servers/web-07.shop", "/servers/%3Cb%3Ex%3C%2Fb%3E"])
def test_a_phone_needs_no_sideways_scrolling(open_page: Open, path: str) -> None:
    page = open_page(path, viewport=PHONE, is_mobile=True, device_scale_factor=2)
    if path != "/":
        drawn(page)
    assert overhang(page) <= 0


@pytest.mark.parametrize("path", ["/", "/servers/nginx-1"])
def test_the_dark_scheme_is_followed(open_page: Open, path: str) -> None:
    def lightness(page: Page) -> float:
        rgb = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        return sum(int(part) for part in rgb[4:-1].split(",")) / 3

    page = open_page(path, color_scheme="light")
    assert lightness(page) > 200
    page.emulate_media(color_scheme="dark")
    assert lightness(page) < 40


def test_a_commit_changes_the_fleet_without_reload(open_page: Open, writer: SiteLakeWriter) -> None:
    page = open_page("/")
    expect(page.locator("#live")).to_have_class("live on", timeout=SOON_MS)
    page.evaluate("window.sameDocument = true")
    page.locator("details[id='why-web-07.shop'] summary").click()
    worse = replace(FLEET[-1], now_score=97.0, ahead_score=40.0)
    now = datetime.now(UTC)
    writer.insert("risks", [{**row, "issued_at": now} for row in risks(worse, now)])
    expect(page.locator("tr[data-server]").first).to_have_attribute("data-server", "nginx-1")
    assert page.evaluate("window.sameDocument") is True
    assert page.locator("details[id='why-web-07.shop']").get_attribute("open") is not None


def test_a_commit_changes_head_and_charts_without_reload(
    open_page: Open, writer: SiteLakeWriter
) -> None:
    page = drawn(open_page("/servers/new-box"))
    expect(page.locator("#live")).to_have_class("live on", timeout=SOON_MS)
    expect(page.locator(".legend")).to_contain_text("Collecting, 5 of 288 steps")
    before = int(page.locator("section.charts").get_attribute("data-updates") or 0)
    writer.insert("metrics_5m", steps(LakeServer("new-box", steps=30), datetime.now(UTC)))
    expect(page.locator(".legend")).not_to_contain_text("5 of 288", timeout=SOON_MS)
    page.wait_for_function(
        "n => Number(document.querySelector('section.charts').dataset.updates) > n", arg=before
    )


def test_a_search_goes_on_through_live_updates(open_page: Open, writer: SiteLakeWriter) -> None:
    page = open_page("/")
    expect(page.locator("#live")).to_have_class("live on", timeout=SOON_MS)
    page.fill("#q", "kafka")
    expect(page.locator("tr[data-server]")).to_have_count(1)
    assert page.url.endswith("/?q=kafka")
    seen = page.locator("tr[data-server] time.age").get_attribute("datetime")
    writer.insert("metrics", samples(FLEET[3], datetime.now(UTC)))
    expect(page.locator("tr[data-server] time.age")).not_to_have_attribute("datetime", seen or "")
    expect(page.locator("tr[data-server]")).to_have_count(1)


def test_axe_has_no_serious_finding(open_page: Open) -> None:
    page = open_page("/", color_scheme="light")
    address = page.url.rstrip("/")
    paths = ["", "/?view=heat", "/?view=mem_used_pct", "/?group=profile", "/?wall=1"]
    about = ["/functions", "/sources", "/settings", "/docs", "/docs/loop"]
    judged = ["/alerts", "/alerts/rules", "/trust", "/trust/report", "/sql?q=SELECT+1+AS+n"]
    for path in [*paths, "/servers/web-07.shop", *judged, *about, "/login"]:
        page.goto(address + path)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert serious_findings(page) == [], (path, scheme)


def test_keys_open_the_help_the_search_and_pages(open_page: Open) -> None:
    page = open_page("/")
    page.keyboard.press("/")
    expect(page.locator("#q")).to_be_focused()
    page.locator("#q").blur()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("Settings")
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("f")
    expect(page.locator("tr[data-server]")).to_have_count(len(FLEET))


def test_times_are_those_of_the_reader_with_utc_on_hover(open_page: Open) -> None:
    page = open_page("/", timezone_id="Asia/Kolkata")
    clock = page.locator("tr[data-server='gpu-node-3'] time.clock")
    utc, local = clock.get_attribute("title") or "", clock.inner_text()
    minutes = [60 * int(text[:2]) + int(text[3:5]) for text in (utc, local)]
    assert (minutes[1] - minutes[0]) % 1440 == 330
    page.get_by_role("button", name="Show UTC").click()
    expect(page.get_by_text(f"No data since {utc}")).to_be_visible()


def test_a_row_that_did_not_change_is_kept_when_another_does(
    open_page: Open, writer: SiteLakeWriter
) -> None:
    page = open_page("/")
    expect(page.locator("#live")).to_have_class("live on", timeout=SOON_MS)
    answers: list[Response] = []
    page.on("response", lambda answer: answers.append(answer))
    now = datetime.now(UTC)
    worse = replace(FLEET[-1], now_score=97.0, ahead_score=40.0)
    writer.insert("risks", [{**row, "issued_at": now} for row in risks(worse, now)])
    first = page.locator("tr[data-server]").first
    expect(first).to_have_attribute("data-server", "nginx-1", timeout=SOON_MS)
    expect(page.locator("tr[data-server]")).to_have_count(len(FLEET))
    assert any(each.text().count("data-kept") > 3 for each in answers if each.status == 200)


def test_ages_grow_by_themselves(open_page: Open) -> None:
    page = open_page("/")
    age = page.locator(".facts time.age").first
    first = age.inner_text()
    expect(age).not_to_have_text(first)
    assert age.inner_text().endswith(" ago")


def test_without_javascript_everything_is_there(open_page: Open) -> None:
    page = open_page("/", java_script_enabled=False)
    assert page.locator("tr[data-server]").count() == len(FLEET)
    page.locator("table a", has_text="web-07.shop").click()
    assert page.locator(".chart svg.chart-svg path.measured").count() == 14


def test_a_lost_connection_is_indicated(browser: Browser, writer: SiteLakeWriter) -> None:
    page = browser.new_context(viewport=PHONE).new_page()
    with served(writer.folders.data) as address:
        page.goto(address)
        expect(page.locator("#live")).to_have_class("live on", timeout=SOON_MS)
    expect(page.locator("#live")).to_contain_text("connection lost", timeout=SOON_MS)
    assert overhang(page) <= 0
    page.context.close()


def test_a_one_time_link_is_pressed_in_a_browser_without_a_key(
    browser: Browser, tmp_path: Path
) -> None:
    folders = Folders.at(tmp_path).create()
    engine, token = Engine(), SignedLinks(folders).token("e1", "ops", datetime.now(UTC))
    with serve_rpc(folders.rpc_socket, engine), served(tmp_path) as url:
        page = browser.new_page()
        page.goto(f"{url}/act/{token}")
        page.get_by_role("button", name="Acknowledge").click()
        expect(page.get_by_role("heading")).to_have_text("Acknowledged. It will not escalate.")
        page.close()
    assert [call["body"]["kind"] for call in engine.calls] == ["acknowledged"]


def test_a_person_logs_in_and_out_with_a_browser(tmp_path: Path, browser: Browser) -> None:
    folders = Folders.at(tmp_path).create()
    add_user(folders, "ann", "operator", "four words of mine", datetime.now(UTC))
    with served(tmp_path) as url:
        page = browser.new_page()
        page.goto(f"{url}/settings")
        page.get_by_label("Name", exact=True).fill("ann")
        page.get_by_label("Password").fill("four words of mine")
        page.get_by_role("button", name="Log in").click()
        expect(page).to_have_url(f"{url}/settings", timeout=SOON_MS)
        expect(page.locator(".account .who")).to_have_text("ann · operator")
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_role("heading")).to_have_text("Log in", timeout=SOON_MS)
        page.close()


def test_alerts_can_be_read_and_answered_on_a_phone(
    writer: SiteLakeWriter, open_page: Open
) -> None:
    insert_history(writer)
    writer.insert("alert_events", episode_rows("open", [PREDICTED]))
    engine = Engine()
    with serve_rpc(writer.folders.rpc_socket, engine):
        page = open_page("/alerts", viewport=PHONE, is_mobile=True)
        expect(page.locator("tr[data-outcome=missed]")).to_be_visible()
        assert overhang(page) <= 0
        page.get_by_role("button", name="Acknowledge").click(timeout=LOADED_MS)
        expect(page.locator(".notice")).to_contain_text("it does not escalate any more")
        page.locator(".episode .lead a").click(timeout=LOADED_MS)
        expect(page.locator(".life")).to_contain_text("predicted", timeout=LOADED_MS)
        assert overhang(page) <= 0
    assert engine.calls[0]["body"]["kind"] == "acknowledged"


@pytest.mark.parametrize("path", ["/alerts/rules", "/trust", "/trust/report"])
def test_rules_trust_and_report_fit_a_phone(
    writer: SiteLakeWriter, open_page: Open, path: str
) -> None:
    insert_trust(writer)
    insert_history(writer)
    page = open_page(path, viewport=PHONE, is_mobile=True)
    expect(page.locator("main .block").first).to_be_visible()
    assert overhang(page) <= 0


def test_a_suspended_function_is_resumed_with_one_click(
    open_page: Open, writer: SiteLakeWriter
) -> None:
    with serve_rpc(writer.folders.rpc_socket, FunctionsEngine()):
        page = open_page("/functions", viewport=PHONE)
        assert page.locator("tr[data-function]").first.get_attribute("data-state") == "SUSPENDED"
        assert overhang(page) <= 0
        page.locator("button", has_text="Resume").click()
        expect(page.locator(".notice.good")).to_contain_text("runs again")
