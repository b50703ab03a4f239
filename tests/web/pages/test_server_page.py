"""The page of one server, its charts and its exports."""

import io
import re
from datetime import UTC, datetime, timedelta

from pyarrow import csv, parquet

from storage.model.metrics import METRIC_NAMES
from storage.model.names import erased_name
from tests.web.conftest import Client
from tests.web.site_lakes import LakeServer, SiteLakeWriter


def charts_of(page: str) -> str:
    """The part of the page below its legend."""
    return page.split('<section class="charts"')[1]


def test_each_metric_has_a_chart_with_measured_values_and_forecast(client: Client) -> None:
    page = charts_of(client.get("/servers/web-07.shop").text)
    assert set(re.findall(r'data-metric="(\w+)"', page)) == set(METRIC_NAMES)
    assert len(re.findall(r'<path class="measured" d="M[^"]+"', page)) == 14
    assert len(re.findall(r'<path class="median" d="M[^"]+"', page)) == 14
    assert len(re.findall(r'<path class="band" d="M[^"]+"', page)) == 3 * 14


def test_the_head_has_the_recommended_action_and_its_deadline(client: Client) -> None:
    page = client.get("/servers/web-07.shop").text
    assert "Act within 5 min" in page
    assert "Next step:" in page
    assert "Find the process that grows" in page
    assert re.search(r"within 2 h</th>.*?81 %", page)


def test_the_volume_and_the_links_behind_the_metrics_are_named(client: Client) -> None:
    page = client.get("/servers/web-07.shop").text
    assert "Fullest volume: /srv/&lt;data&gt;" in page
    assert "Network links: eno1, eno2" in page
    data = client.get("/servers/web-07.shop.json").json()
    assert (data["disk_volume"], data["net_links"]) == ("/srv/<data>", "eno1, eno2")


def test_the_worst_metric_comes_first(client: Client) -> None:
    page = client.get("/servers/ppdb-orders-1").text
    assert re.findall(r'data-metric="(\w+)"', page)[0] == "disk_usage_pct"


def test_gaps_stay_gaps(client: Client) -> None:
    charts = client.get("/charts/kafka-2").json()["charts"]
    measured = charts[0]["measured"]
    assert measured[125:155] == [None] * 30
    assert measured[110] is not None


def test_quantiles_ahead_are_in_order_also_for_cpu_used(client: Client) -> None:
    data = client.get("/charts/web-07.shop").json()
    assert data["issued"] == 288
    for chart in data["charts"]:
        at = [chart["ahead"][p][95] for p in ("p02", "p10", "p25", "p50", "p75", "p90", "p98")]
        assert at == sorted(at)
    cpu = next(c for c in data["charts"] if c["name"] == "cpu_idle_pct")
    assert 20 < cpu["measured"][287] < 45
    assert cpu["levels"] == {"warn": 90, "critical": 98}


def test_an_early_forecast_is_marked(client: Client) -> None:
    assert "Early forecast from 1 h 5 min of data" in client.get("/servers/fresh-box").text


def test_a_server_without_forecast_draws_none(client: Client) -> None:
    for name, text in (
        ("quant-eod", "No forecast: half of it is gaps"),
        ("new-box", "Collecting, 5 of 288 steps"),
    ):
        whole = client.get(f"/servers/{name}").text
        page = charts_of(whole)
        assert text in whole
        assert '<path class="median"' not in page
        assert "no forecast" in page


def test_a_stale_server_has_a_next_step(client: Client) -> None:
    page = client.get("/servers/gpu-node-3").text
    assert "No data since" in page
    assert "Check whether the host answers" in page


def test_a_hostile_name_has_a_page_and_is_escaped(client: Client) -> None:
    answer = client.get("/servers/%3Cb%3Ex%3C%2Fb%3E")
    assert answer.status_code == 200
    assert "<b>x" not in answer.text
    assert "<script>alert" not in answer.text
    assert "<h1>&lt;b&gt;x&lt;/b&gt;</h1>" in answer.text


def test_a_server_that_was_deleted_and_sends_again_says_so(
    lake: SiteLakeWriter, site: Client
) -> None:
    lake.fleet([LakeServer("web-1"), LakeServer("web-10")])
    two_hours_ago = datetime.now(UTC) - timedelta(hours=2)
    lake.insert("deletions", [{"server": erased_name("web-1"), "ts": two_hours_ago}])
    page = site.get("/servers/web-1").text
    assert re.search(r"Deleted <time[^>]*>2 h ago</time>, and it sends again: stop its", page)
    assert "sends again" not in site.get("/servers/web-10").text


def test_an_unknown_server_is_404_with_similar_names(client: Client) -> None:
    answer = client.get("/servers/web-7.shop")
    assert answer.status_code == 404
    assert 'href="/servers/web-07.shop"' in answer.text
    as_data = client.get("/servers/nobody.json")
    assert as_data.status_code == 404
    assert "server 'nobody' not found" in as_data.json()["detail"]


def test_htmx_gets_only_the_head(client: Client) -> None:
    text = client.get("/servers/nginx-1", headers={"HX-Request": "true"}).text
    assert "<html" not in text
    assert "<h1>nginx-1</h1>" in text
    assert "data-metric" not in text


def test_exports_distinguish_measured_and_forecast(client: Client) -> None:
    data = client.get("/servers/web-07.shop.json").json()
    assert data["severity"] == "Imminent failure"
    assert data["odds"][2]["minutes"] == 120
    rows = parquet.read_table(io.BytesIO(client.get("/servers/web-07.shop.parquet").content))
    kinds = rows["kind"].to_pylist()
    assert {"measured", "forecast"} == set(kinds)
    text = csv.read_csv(io.BytesIO(client.get("/servers/web-07.shop.csv").content))
    assert text.num_rows == rows.num_rows
