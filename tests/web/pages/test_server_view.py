"""What the page of a server says: odds, trust, episodes, what was said before, spans of time."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from storage.model.grid import LEAD_MINUTES, floor_step
from tests.web.site_lakes import LakeServer, SiteLakeWriter, forecasts
from web.app import create_app

Client = TestClient[Litestar]
OWN_METRIC = """
[[metrics]]
name = "gpu_used_pct"
label = "GPU <used>"
unit = "%"
highest = 100
warn = 50
critical = 90
"""
NAME = "web/1 100%.json"
SERVER = LakeServer(NAME, "web_api", climbs={"mem_used_pct": 34.0})
PATH = "/servers/web%2F1%20100%25.json"


def episode(now: datetime, **changed: Any) -> dict[str, Any]:
    row = {
        "episode": "3fd0", "ts": now - timedelta(minutes=20), "event": "opened",
        "phase": "predicted", "server": NAME, "metric": "mem_used_pct", "rule": "memory",
        "severity": "Critical", "why": "memory likely passes 85 %", "reasons": ["it <grows>"],
    }  # fmt: skip
    return row | changed


def odds(now: datetime) -> dict[str, Any]:
    chances = {f"p_{lead}m": 0.8 for lead in LEAD_MINUTES}
    times = {n: now + timedelta(minutes=m) for n, m in (("earliest", 45), ("likely", 110))}
    row = {"server": NAME, "metric": "mem_used_pct", "issued_at": floor_step(now), "level": 85.0}
    return row | chances | times | {"drivers": ["memory grows"]}


def score(now: datetime, metric: str, hours_ago: int) -> dict[str, Any]:
    ts = floor_step(now) - timedelta(hours=hours_ago)
    row = {"server": NAME, "metric": metric, "bucket": 60, "ts": ts, "model": "m1"}
    return row | {"targets": 12, "loss": 0.7, "error_naive": 1.0, "error_seasonal": 2.0}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """The site over a server of which everything is known, and a metric of its own."""
    data, now = tmp_path_factory.mktemp("var"), datetime.now(UTC)
    (data / "hoursight.toml").write_text(OWN_METRIC)
    writer = SiteLakeWriter(data).fleet([SERVER, LakeServer("bare", state=None)], now)
    for column in ("metrics ADD COLUMN gpu_used_pct", "metrics_5m ADD COLUMN gpu_used_pct_mean"):
        writer.connection.execute(f"ALTER TABLE {column} FLOAT")
    writer.connection.execute("UPDATE metrics_5m SET gpu_used_pct_mean = 55")
    writer.connection.execute("UPDATE metrics SET gpu_used_pct = 56")
    before = {"issued_at": floor_step(now) - timedelta(hours=2), "made_at": now}
    writer.insert("forecasts", [row | before for row in forecasts(SERVER, now)])
    writer.insert("odds", [odds(now)])
    checked = {"ts": now, "kind": "calibration", "metric_group": "all", "events": 41, "cases": 4120}
    writer.insert("odds_models", [checked | {"lead_minutes": lead} for lead in LEAD_MINUTES])
    ended = {"episode": "11bb", "metric": None, "why": None, "reasons": None}
    writer.insert(
        "alert_events",
        [episode(now), episode(now, **ended), episode(now, **ended, ts=now, phase="over")],
    )
    writer.insert("scores", [score(now, "mem_used_pct", h) for h in range(30)])
    writer.insert("scores", [score(now, "net_in_mb_s", h) for h in range(12)])
    with TestClient(create_app(data), "http://127.0.0.1") as client:
        yield client
    writer.close()


@pytest.fixture(scope="module")
def text(site: Client) -> str:
    """The page of the server, with what was said two hours ago."""
    return site.get(f"{PATH}?said=2h").text


def test_odds_by_metric_are_sentences_and_say_on_what_they_were_checked(text: str) -> None:
    assert "Memory used passes 85 % within 8 h with 80 % chance: earliest" in text
    assert "Memory grows." in text
    assert text.count("checked on 4,120 cases</td>") == len(LEAD_MINUTES)
    assert "Checked on 4,120 cases with 41 breaches of this fleet." in text


def test_episodes_have_their_reasons_and_open_ones_can_be_answered(text: str) -> None:
    (opened, ended) = re.findall(r'<li class="(?:open|ended)">.*?</li>', text, re.DOTALL)
    assert 'href="/alerts/3fd0">Memory used</a>: <b>predicted</b>, Critical, since' in opened
    assert "Memory likely passes 85 %: it &lt;grows&gt;" in opened
    assert 'name="do" value="acknowledged"' in opened
    assert (">No data</a>: <b>over</b>" in ended, "<form" in ended) == (True, False)


def test_the_page_says_how_far_to_trust_the_forecasts_here(text: str) -> None:
    assert "1 of 1 judged ones beat a naive forecast here" in text
    assert "12 more hours of evidence" in text
    assert "Model <code>m1</code>" in text


def test_what_was_said_is_drawn_over_what_happened(site: Client, text: str) -> None:
    assert text.count('<path class="over said" d="M') == 14
    assert "is drawn over what happened." in text
    charts = site.get(f"/charts/{PATH.removeprefix('/servers/')}?said=2h").json()["charts"]
    (over,) = charts[0]["overlays"]
    assert (over["kind"], over["first"], len(over["middle"])) == ("said", 288 - 24, 96)
    assert "No forecast is kept that was made 8h ago" in site.get(f"{PATH}?said=8h").text


def test_a_metric_of_the_settings_has_a_chart_with_its_levels(text: str) -> None:
    figure = text.split('data-metric="gpu_used_pct"')[1].split("</figure>")[0]
    assert "GPU &lt;used&gt;" in figure
    assert '<path class="measured" d="M' in figure
    assert '<path class="level warn" d="M' in figure
    assert "56 %" in figure
    assert "no forecast" in figure


def test_a_longer_time_is_drawn_in_wide_steps_with_their_spread(site: Client) -> None:
    data = site.get(f"/charts/{PATH.removeprefix('/servers/')}?last=7d").json()
    memory = next(each for each in data["charts"] if each["name"] == "mem_used_pct")
    assert (data["step"], len(memory["measured"])) == (1200, data["steps"])
    least, most = memory["spread"]
    known = [i for i, value in enumerate(memory["measured"]) if value is not None]
    assert all(least[i] <= memory["measured"][i] <= most[i] for i in known)
    assert 60 <= len(known) <= 80
    assert '<path class="spread" d="M' in site.get(f"{PATH}?last=7d").text


def test_links_of_the_page_keep_what_was_chosen(site: Client) -> None:
    page = site.get(f"{PATH}?last=30d&said=1h").text
    assert f'href="{PATH}?last=7d&amp;said=1h"' in page
    assert f'href="{PATH}?last=30d&amp;said=4h"' in page
    assert f'href="{PATH}?last=30d" aria-current="true">1h ago' in page


@pytest.mark.parametrize("query", ["said=3h", "last=5+apples", "from=x", "to=2026-01-01"])
def test_a_choice_that_is_none_is_refused_in_words(site: Client, query: str) -> None:
    for path in ("/servers/bare", "/charts/bare"):
        answer = site.get(f"{path}?{query}")
        assert answer.status_code == 400
        assert query.split("=")[0] in answer.text


def test_a_server_without_forecast_and_alerts_says_what_will_be_here(site: Client) -> None:
    page = site.get("/servers/bare").text
    assert "None within 30 days. Warnings and breaches will be here" in page
    assert "No model has forecast this server yet." in page


def test_the_fragment_has_the_alerts_but_no_charts(site: Client) -> None:
    text = site.get(PATH, headers={"HX-Request": "true"}).text
    assert 'value="acknowledged"' in text
    assert ("<html" in text, "data-metric" in text) == (False, False)


def test_the_json_has_odds_trust_and_episodes(site: Client) -> None:
    data = site.get(f"{PATH}.json").json()
    assert [each["episode"] for each in data["episodes"]] == ["3fd0", "11bb"]
    assert data["metric_odds"][0]["metric"] == "mem_used_pct"
    assert data["odds_checked"] is True
    assert {each["metric"]: each["hours"] for each in data["trust"]}["net_in_mb_s"] == 12
