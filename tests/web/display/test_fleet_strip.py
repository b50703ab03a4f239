"""The summary of the fleet in words."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.web.conftest import Client
from tests.web.site_lakes import SiteLakeWriter
from web.display.fleet_strip import FleetStrip

STRIP = FleetStrip(1000, 998, 12, 0, 3, 0.04, 0.31, True)


def test_a_missing_server_is_seen() -> None:
    assert STRIP.reporting_text == "998 of 1,000 reporting"
    assert replace(STRIP, total=1, reporting=0).reporting_text == "the server does not report"


@pytest.mark.parametrize(
    ("strip", "text"),
    [
        (STRIP, "chance of an incident 4 % in 30 min, 31 % in 8 h (checked)"),
        (
            replace(STRIP, checked=False),
            "chance of an incident 4 % in 30 min, 31 % in 8 h (not yet checked)",
        ),
        (replace(STRIP, p_30m=None), "chance of an incident: not yet known"),
    ],
)
def test_the_chance_of_an_incident_says_how_far_it_is_known(strip: FleetStrip, text: str) -> None:
    assert strip.chance_text == text


def test_the_strip_is_on_the_page(lake: SiteLakeWriter, site: Client) -> None:
    lake.fleet()
    assert "8 of 9 reporting" in site.get("/").text
    assert "not yet known" in site.get("/").text
    odds = {"issued_at": datetime.now(UTC), "p_30m": 0.04, "p_480m": 0.31, "checked": True}
    lake.insert("fleet_odds", [odds])
    page = site.get("/").text
    assert "4 % in 30 min, 31 % in 8 h (checked)" in page
    assert "2 servers blind" in page
