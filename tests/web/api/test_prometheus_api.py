"""Prometheus's API of the site: forecasts ahead of the present, forms, names, and errors."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.web.conftest import Client
from tests.web.site_lakes import HOSTILE, SiteLakeWriter
from tests.web.test_browser import served
from web.app import create_app

PROMTOOL = shutil.which("promtool")
SERVER = "web-07.shop"
QUANTILES = ["0.02", "0.1", "0.25", "0.5", "0.75", "0.9", "0.98"]


def _result(client: Client, query: str, at: float | None = None) -> list[dict[str, Any]]:
    time_field: dict[str, str] = {} if at is None else {"time": str(at)}
    answer = client.get("/api/v1/query", params=time_field | {"query": query}).json()
    assert answer["status"] == "success", answer
    result: list[dict[str, Any]] = answer["data"]["result"]
    return result


def _range(client: Client, query: str, hours: tuple[float, float], step: str) -> dict[str, Any]:
    now = time.time()
    start, end = now + 3600 * hours[0], now + 3600 * hours[1]
    fields: dict[str, str | float]
    fields = {"query": query, "start": start, "end": end, "step": step}
    answer: dict[str, Any] = client.get("/api/v1/query_range", params=fields).json()
    assert answer["status"] == "success", answer
    return answer


def test_a_time_ahead_is_answered_with_the_quantiles_of_the_forecast(client: Client) -> None:
    rows = _result(client, f"mem_used_pct{{server='{SERVER}'}}", time.time() + 2 * 3600)
    values = {row["metric"]["quantile"]: float(row["value"][1]) for row in rows}
    assert sorted(values) == QUANTILES
    assert list(values.values()) == sorted(values[q] for q in QUANTILES)
    assert rows[0]["metric"]["profile"] == "web_api"


def test_the_present_has_no_quantile_and_the_future_no_measured_series(client: Client) -> None:
    (row,) = _result(client, f"mem_used_pct{{server='{SERVER}'}}")
    assert "quantile" not in row["metric"]
    ahead = _result(client, "mem_used_pct{quantile=''}", time.time() + 3600)
    assert ahead == []
    assert _result(client, "mem_used_pct{quantile='0.5'}") == []


def test_measured_series_end_now_and_forecasts_begin_there(client: Client) -> None:
    answer = _range(client, f"mem_used_pct{{server='{SERVER}'}}", (-2, 2), "5m")
    now = time.time()
    for series in answer["data"]["result"]:
        times = [at for at, _ in series["values"]]
        if "quantile" in series["metric"]:
            assert min(times) > now - 60
            assert len(times) > 20
        else:
            assert max(times) <= now
            assert len(times) > 20


def test_an_answer_names_the_issue_and_the_model_of_its_forecast(client: Client) -> None:
    (note,) = _range(client, "mem_used_pct", (0, 2), "15m")["infos"]
    assert note.startswith("mem_used_pct: forecast issued 2")
    assert note.endswith("by model m1")
    assert "infos" not in _range(client, "mem_used_pct", (-2, -1), "15m")


def test_forecasts_have_the_names_of_grafana_cloud(client: Client) -> None:
    at = time.time() + 3600
    upper = f'mem_used_pct:predicted{{server="{SERVER}",ml_forecast="yhat_upper"}}'
    (row,) = _result(client, upper, at)
    (same,) = _result(client, f'mem_used_pct{{server="{SERVER}",quantile="0.9"}}', at)
    assert row["value"][1] == same["value"][1]
    assert row["metric"]["__name__"] == "mem_used_pct:predicted"
    kinds = {r["metric"]["ml_forecast"] for r in _result(client, "mem_used_pct:predicted", at)}
    assert kinds == {"yhat", "yhat_lower", "yhat_upper"}


def test_expressions_work_on_what_lies_ahead(client: Client) -> None:
    at = time.time() + 6 * 3600
    above = _result(client, 'mem_used_pct{quantile="0.9"} > 85', at)
    assert SERVER in {row["metric"]["server"] for row in above}
    (worst,) = _result(client, 'topk(1, max_over_time(mem_used_pct{quantile="0.5"}[6h]))', at)
    assert worst["metric"] == {
        "server": SERVER, "profile": "web_api", "site": "lab", "quantile": "0.5",
    }  # fmt: skip


def test_a_server_without_a_forecast_vanishes_from_the_future(client: Client) -> None:
    servers = {
        row["metric"]["server"] for row in _result(client, "load_average", time.time() + 600)
    }
    assert SERVER in servers
    assert "quant-eod" not in servers  # it abstains
    assert "new-box" not in servers


def test_what_was_forecast_of_the_past_can_be_read(lake: SiteLakeWriter, site: Client) -> None:
    lake.fleet(now=datetime.now(UTC) - timedelta(hours=2))
    (row,) = _result(site, f'mem_used_pct:predicted{{server="{SERVER}",ml_forecast="yhat"}}')
    assert float(row["value"][1]) > 0


def test_grafanas_health_check_is_answered(client: Client) -> None:
    form = {"query": "1+1", "time": "4"}
    answer = client.post("/api/v1/query", data=form).json()
    assert answer["data"] == {"resultType": "scalar", "result": [4.0, "2"]}
    info = client.get("/api/v1/status/buildinfo").json()["data"]
    assert info["version"]
    assert "features" not in info
    rules = client.get("/api/v1/rules/test/test")
    assert (rules.status_code, rules.text) == (404, "404 page not found")


@pytest.mark.parametrize("path", ["query", "query_range", "labels", "series"])
def test_fields_come_in_a_form_as_well(client: Client, path: str) -> None:
    form = {
        "query": "load_average",
        "start": "1",
        "end": "2",
        "step": "1",
        "match[]": "load_average",
    }
    posted, got = (
        client.post(f"/api/v1/{path}", data=form), client.get(f"/api/v1/{path}", params=form),
    )  # fmt: skip
    assert posted.json()["status"] == got.json()["status"] == "success"
    assert type(posted.json()["data"]) is type(got.json()["data"])


def test_names_and_values_of_labels_can_be_browsed(client: Client) -> None:
    def data(path: str, **fields: str) -> Any:
        return client.get(f"/api/v1/{path}", params=fields).json()["data"]

    assert data("labels") == ["__name__", "ml_forecast", "profile", "quantile", "server", "site"]
    assert {"mem_used_pct", "mem_used_pct:predicted"} <= set(data("label/__name__/values"))
    assert HOSTILE in data("label/server/values")
    match = {"match[]": 'load_average{profile="database"}'}
    assert data("label/server/values", **match) == ["ppdb-orders-1"]
    assert data("label/quantile/values") == QUANTILES
    assert data("label/nothing/values") == []
    (series,) = data("series", **match)
    assert series == {
        "__name__": "load_average", "server": "ppdb-orders-1", "profile": "database", "site": "lab",
    }  # fmt: skip
    assert data("metadata", metric="load_average")["load_average"][0]["type"] == "gauge"


def test_open_alerts_are_listed_as_prometheus_lists_its_own(
    lake: SiteLakeWriter, site: Client
) -> None:
    now = datetime.now(UTC)
    lake.insert("alert_events", [{
        "episode": "e1", "ts": now, "event": "opened", "phase": "predicted", "server": "a",
        "metric": "mem_used_pct", "rule": "breach", "severity": "Danger", "value": 71.0,
        "why": "P(2 h) is 40 %",
    }])  # fmt: skip
    (alert,) = site.get("/api/v1/alerts").json()["data"]["alerts"]
    assert alert["labels"] == {
        "alertname": "breach", "severity": "Danger", "server": "a", "metric": "mem_used_pct",
    }  # fmt: skip
    assert (alert["state"], alert["value"]) == ("pending", "71")


@pytest.mark.parametrize(
    ("fields", "status", "reason"),
    [
        ({}, 400, "'query': it is missing"),
        ({"query": "mem_used_pct", "time": "noon"}, 400, "'time': cannot parse 'noon'"),
        ({"query": "rate(mem_used_pct[5m])"}, 400, "rate is not offered: the metrics"),
        ({"query": "histogram_quantile(0.9, mem_used_pct)"}, 400, "there are no histograms"),
        ({"query": "max_over_time(mem_used_pct[1h:5m])"}, 400, "subqueries are not offered"),
        ({"query": "count_values('x', mem_used_pct)"}, 400, "count_values is not offered"),
        ({"query": "(" * 500 + "1" + ")" * 500}, 400, "nests more than 60"),
        ({"query": "1" + " + 1" * 100}, 400, "nests more than 60 operations"),
        ({"query": "1" + "+1" * 4900}, 400, "outside of quotes"),
        ({"query": "mem_used_pct[9999999999999y]"}, 400, "invalid parameter 'query'"),
        ({"query": "{server=~'.+'}[7d]", "time": "NaN"}, 400, "not a time"),
    ],
)  # fmt: skip
def test_what_is_not_answered_is_refused_by_name(
    client: Client, fields: dict[str, str], status: int, reason: str
) -> None:
    answer = client.get("/api/v1/query", params=fields)
    assert answer.status_code == status
    assert reason in answer.json()["error"]
    assert answer.json()["errorType"] == "bad_data"


def test_a_range_with_too_many_points_is_refused(client: Client) -> None:
    fields = {"query": "load_average", "start": "0", "end": "1000000", "step": "1"}
    answer = client.get("/api/v1/query_range", params=fields)
    assert answer.status_code == 400
    assert "exceeded maximum resolution of 11,000 points" in answer.json()["error"]


def test_without_a_lake_the_answer_says_so(tmp_path: Path) -> None:
    with Client(create_app(tmp_path / "none"), "http://127.0.0.1") as site:
        answer = site.get("/api/v1/query", params={"query": "load_average"})
    assert (answer.status_code, answer.json()["errorType"]) == (503, "unavailable")


@pytest.fixture(scope="module")
def address(client: Client) -> Iterator[str]:
    """The site of `client` at an address of its own."""
    with served(client.app.state.lake.folders.data) as address:
        yield address


def _expressions() -> Iterator[str]:
    for path in sorted((Path(__file__).parents[3] / "docs" / "grafana").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                yield target["expr"].replace("$server", SERVER)


@pytest.mark.parametrize("expression", sorted(set(_expressions())))
def test_each_query_of_the_dashboards_has_an_answer(client: Client, expression: str) -> None:
    assert _range(client, expression, (-1, 3), "10m")["data"]["result"]


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
def test_promtool_reads_a_forecast(address: str) -> None:
    at = str(round(time.time() + 3600))

    def asked(*arguments: str) -> str:
        command = [str(PROMTOOL), "query", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    query = f'mem_used_pct{{server="{SERVER}"}}'
    instant = asked("instant", f"--time={at}", address, query)
    assert instant.count("=>") == len(QUANTILES)
    assert 'quantile="0.9"' in instant
    ranged = asked(
        "range", f"--start={round(time.time())}", f"--end={at}", "--step=10m", address, query
    )
    assert ranged.count("quantile=") == len(QUANTILES)
    assert "mem_used_pct" in asked("labels", address, "__name__")
    assert SERVER in asked("series", "--match=mem_used_pct", address)
