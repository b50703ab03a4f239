"""Predictions as data: all servers, one server's forecast, and the reasons of its risk."""

import pytest

from tests.web.conftest import Client

NAMES = ("", "/api/v1")


@pytest.mark.parametrize("root", NAMES)
def test_what_is_expected_of_each_server_comes_with_the_highest_risk_first(
    client: Client, root: str
) -> None:
    rows = client.get(f"{root}/predictions/current").json()
    scores = [row["score"] for row in rows if row["score"] is not None]
    assert len(rows) == len({row["server"] for row in rows}) > 1
    assert scores == sorted(scores, reverse=True)
    assert {"severity", "p_breach_30m", "p_breach_480m", "breach_likely", "reasons"} <= rows[
        0
    ].keys()


@pytest.mark.parametrize("root", NAMES)
def test_the_forecast_of_a_server_has_the_quantiles_of_the_steps_ahead(
    client: Client, root: str
) -> None:
    body = client.get(f"{root}/predict/nginx-1").json()
    assert body["server"] == "nginx-1"
    assert body["metrics"]
    for metric in body["metrics"]:
        assert len(metric["ts"]) == len(metric["p50"]) > 80
        assert all(lo <= hi for lo, hi in zip(metric["p10"], metric["p90"], strict=True))


@pytest.mark.parametrize("root", NAMES)
def test_the_reasons_of_a_server_are_those_of_its_risk_and_its_odds(
    client: Client, root: str
) -> None:
    body = client.get(f"{root}/explain/nginx-1").json()
    assert body["server"] == "nginx-1"
    assert isinstance(body["reasons"], list)
    assert isinstance(body["odds"], list)


@pytest.mark.parametrize("path", ["predict", "explain"])
@pytest.mark.parametrize("name", ["nobody", "%3Cb%3E.json", "a%2Fb", "%25", "x" * 254])
def test_an_unknown_server_is_a_problem_with_the_remedy(
    client: Client, path: str, name: str
) -> None:
    answer = client.get(f"/{path}/{name}")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert answer.json()["remedy"] == "'/predictions/current' lists the servers"


@pytest.mark.parametrize("path", ["/status", "/status.json", "/api/v1/status"])
def test_the_status_has_three_names(client: Client, path: str) -> None:
    assert "troubles" in client.get(path).json()
