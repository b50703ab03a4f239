"""The fleet page: order, rows, filter, exports, and the page before the first sample."""

import io
import re
from dataclasses import replace
from datetime import UTC, datetime
from html import unescape
from pathlib import Path

import pytest
from litestar.testing import TestClient
from pyarrow import csv, parquet

from tests.web.conftest import Client
from tests.web.site_lakes import FLEET, HOSTILE, LakeServer, SiteLakeWriter, risks
from web.app import create_app


@pytest.fixture
def lake(kept_lake: SiteLakeWriter) -> SiteLakeWriter:
    return kept_lake


@pytest.fixture
def site(kept_client: Client) -> Client:
    return kept_client


def row_of(page: str, server: str) -> str:
    """The table row of one server."""
    rows = re.findall(r'<tr class="[a-z]+" data-server="([^"]*)">(.*?)</tr>', page, re.S)
    return {unescape(name): unescape(body) for name, body in rows}[server]


def order_of(page: str) -> list[str]:
    return [unescape(name) for name in re.findall(r'data-server="([^"]*)"', page)]


def test_servers_are_listed_worst_first_and_stale_ones_rank_above_watch(client: Client) -> None:
    order = order_of(client.get("/").text)
    assert order[:4] == ["web-07.shop", "ppdb-orders-1", "gpu-node-3", "kafka-2"]
    assert len(order) == len(FLEET)


def test_a_row_has_severity_response_time_both_scores_and_the_breach(client: Client) -> None:
    row = row_of(client.get("/").text, "web-07.shop")
    assert "Imminent failure" in row
    assert "act within 5 min" in row
    assert re.search(r'data-label="Now"><span class="score">74<', row)
    assert re.search(r'data-label="Ahead"><span class="score">93<', row)
    assert "Memory used likely passes 85 % in about 2 h 10 min; earliest 50 min" in row
    assert "98 % chance of a breach in 8 h" in row


def test_reasons_are_in_a_details_element(client: Client) -> None:
    row = row_of(client.get("/").text, "web-07.shop")
    assert "<details" in row
    assert "<b>+48</b> Memory used is 82 % and grows by 4.1 % an hour" in row


def test_a_stale_server_is_not_healthy(client: Client) -> None:
    row = row_of(client.get("/").text, "gpu-node-3")
    assert "No data since" in row
    assert '<span class="pill silent">No data</span>' in row
    assert "was Healthy" in row
    assert "chance of a breach" not in row


def test_a_row_explains_the_state_of_its_forecast(client: Client) -> None:
    page = client.get("/").text
    assert "Collecting, 5 of 288 steps" in row_of(page, "new-box")
    assert "Early forecast from 1 h 5 min of data" in row_of(page, "fresh-box")
    assert "No forecast: half of it is gaps" in row_of(page, "quant-eod")


def test_a_new_server_is_collecting_when_the_forecaster_has_abstained(
    lake: SiteLakeWriter, site: Client
) -> None:
    lake.fleet([LakeServer("new", state="abstained", why="collecting, 2 of 288", steps=2)])
    row = row_of(site.get("/").text, "new")
    assert "Collecting, 2 of 288 steps" in row
    assert "No forecast" not in row


def test_a_level_that_is_already_passed_is_not_described_as_a_forecast(
    lake: SiteLakeWriter, site: Client
) -> None:
    passed = ("back_close_wait", -2, -2, -2)
    lake.fleet([LakeServer("w", "web_api", 92.0, 92.0, odds=(0.999,) * 5, breach=passed)])
    row = row_of(site.get("/").text, "w")
    assert "CLOSE_WAIT to back ends is past 1,000 now" in row
    assert "likely passes" not in row


def test_a_server_that_has_recovered_since_its_forecast_is_not_described_as_past_its_level(
    lake: SiteLakeWriter, site: Client
) -> None:
    passed = ("back_close_wait", -2, -2, -2)
    lake.fleet([LakeServer("w", "web_api", 39.0, 92.0, odds=(0.99,) * 5, breach=passed)])
    assert "likely passes 1,000 in less than 5 min" in row_of(site.get("/").text, "w")


def test_indicators_are_banded_by_profile(lake: SiteLakeWriter, site: Client) -> None:
    hot = {"mem_used_pct": 44.0}
    lake.fleet([
        LakeServer("w", "web_api", climbs=hot), LakeServer("d", "database", climbs=hot),
    ])  # fmt: skip
    page = site.get("/").text
    assert 'class="value critical"' in row_of(page, "w")
    assert 'class="value' in row_of(page, "d")
    assert 'class="value critical"' not in row_of(page, "d")


def test_names_and_reasons_from_outside_are_escaped(client: Client) -> None:
    page = client.get("/").text
    assert "<script>alert" not in page
    assert HOSTILE not in page
    assert "&lt;b&gt;x&lt;/b&gt;" in page
    assert 'href="/servers/%3Cb%3Ex%3C%2Fb%3E"' in page


def test_gaps_break_the_small_chart(client: Client) -> None:
    whole, broken = (
        re.search(r'class="past" d="([^"]*)"', row_of(client.get("/").text, name))
        for name in ("nginx-1", "kafka-2")
    )
    assert whole
    assert broken
    assert whole[1].count("M") == 1
    assert broken[1].count("M") == 2


def test_the_fleet_can_be_searched(client: Client) -> None:
    assert order_of(client.get("/", params={"q": "KAFKA"}).text) == ["kafka-2"]
    assert order_of(client.get("/", params={"profile": "database"}).text) == ["ppdb-orders-1"]
    assert order_of(client.get("/", params={"severity": "silent"}).text) == ["gpu-node-3"]
    assert "No server matches the filter" in client.get("/", params={"q": "nothing"}).text


def test_a_long_fleet_lists_the_worst_and_links_to_the_rest(client: Client) -> None:
    page = client.get("/", params={"show": 2}).text
    assert order_of(page) == ["web-07.shop", "ppdb-orders-1"]
    assert "7 more, none worse than these" in page


def test_htmx_gets_only_the_fragment(client: Client) -> None:
    answer = client.get("/", headers={"HX-Request": "true"})
    assert "<html" not in answer.text
    assert order_of(answer.text)[0] == "web-07.shop"
    assert "HX-Request" in answer.headers["vary"]


def test_an_open_page_gets_the_rows_that_changed(lake: SiteLakeWriter, site: Client) -> None:
    lake.fleet()
    shown = re.search(r'data-rows="([^"]*)"', site.get("/").text)
    assert shown
    worse = replace(FLEET[-1], now_score=97.0, ahead_score=40.0)
    now = datetime.now(UTC)
    lake.insert("risks", [{**row, "issued_at": now} for row in risks(worse, now)])
    answer = site.get("/", headers={"HX-Request": "true", "Hoursight-Shown": shown[1]}).text
    assert order_of(answer)[0] == "nginx-1"
    assert answer.count("<tr data-kept=") >= len(FLEET) // 2


def test_an_empty_lake_shows_the_waiting_page(site: Client) -> None:
    answer = site.get("/")
    assert answer.status_code == 200
    assert "Waiting for the first samples" in answer.text
    assert "hoursight demo" in answer.text


def test_without_a_lake_the_page_waits_and_shows_it_once_it_exists(tmp_path: Path) -> None:
    with TestClient(create_app(tmp_path / "var"), "http://127.0.0.1") as client:
        assert "Waiting for the first samples" in client.get("/").text
        assert client.get("/fleet.json").status_code == 503
        writer = SiteLakeWriter(tmp_path / "var").fleet(FLEET[:1])
        assert order_of(client.get("/").text) == ["web-07.shop"]
        writer.close()


def test_exports_have_the_same_servers(client: Client) -> None:
    order = order_of(client.get("/").text)
    rows = client.get("/fleet.json").json()
    assert [row["server"] for row in rows] == order
    assert rows[2]["shown_as"] == "No data"
    table = parquet.read_table(io.BytesIO(client.get("/fleet.parquet").content))
    assert table["server"].to_pylist() == order
    text = csv.read_csv(io.BytesIO(client.get("/fleet.csv").content))
    assert text["server"].to_pylist() == order


def test_a_server_without_a_score_is_not_healthy(lake: SiteLakeWriter, site: Client) -> None:
    lake.fleet([replace(FLEET[-1], now_score=None, state=None)])
    assert "Not scored yet" in row_of(site.get("/").text, "nginx-1")
