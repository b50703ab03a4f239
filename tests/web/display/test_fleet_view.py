"""Views of the fleet page: changes, groups, tags, sites, the heat map, and the next 8 hours."""

import re
from html import unescape

import pytest

from tests.web.conftest import Client
from tests.web.site_lakes import FLEET, HOSTILE, SiteLakeWriter


def listed(page: str) -> list[str]:
    return [unescape(name) for name in re.findall(r'data-server="([^"]*)"', page)]


def test_the_next_8_hours_name_the_expected_breaches_worst_first(client: Client) -> None:
    strip = client.get("/").text.partition('class="shift"')[2].partition("</section>")[0]
    assert "2 breaches are expected in the next 8 hours" in strip
    assert strip.index("web-07.shop") < strip.index("ppdb-orders-1")
    assert "earliest" in strip


def test_the_sparkline_is_that_of_the_worst_metric(client: Client) -> None:
    row = client.get("/").text.partition('data-server="ppdb-orders-1"')[2].partition("</tr>")[0]
    assert 'aria-label="Disk used over 24 hours' in row


@pytest.mark.parametrize(
    ("by", "label", "servers"), [("profile", "web_api", "2 of 2"), ("site", "lab", "8 of 9")]
)
def test_a_group_has_its_counts_and_links_to_its_servers(
    client: Client, by: str, label: str, servers: str
) -> None:
    page = client.get("/", params={"group": by}).text
    assert re.search(rf'<a href="/\?{by}={label}">{label}</a>.*?{servers}', page, re.DOTALL)
    assert listed(client.get("/", params={by: label}).text)[0] == "web-07.shop"


def test_servers_are_grouped_and_filtered_by_tags_of_the_settings(
    lake: SiteLakeWriter, site: Client
) -> None:
    lake.folders.settings.write_text('[tags]\nshop = ["*.SHOP", "kafka-*"]\n')
    lake.fleet()
    assert listed(site.get("/?tag=shop").text) == ["web-07.shop", "kafka-2"]
    groups = site.get("/?group=tag").text
    assert "no tag" in groups
    assert 'href="/?tag=shop"' in groups


def test_the_heat_map_has_every_server_in_the_order_of_the_list(client: Client) -> None:
    order = listed(client.get("/").text)
    for query in ("/?view=heat", "/?view=heat&metric=mem_used_pct"):
        heat = client.get(query).text.partition('class="heat"')[2]
        names = re.findall(r'<li><a href="/servers/[^"]*" title="([^"]*)"', heat)
        assert [unescape(name) for name in names] == order
        assert HOSTILE not in heat


def test_servers_that_changed_can_be_listed_alone(client: Client) -> None:
    page = client.get("/?changed=1").text
    assert "No server matches the filter" in page
    assert f"Show all {len(FLEET)}" in page
