"""Liveness, readiness and system status."""

from datetime import timedelta
from pathlib import Path

from litestar.testing import TestClient

from tests.web.conftest import Client
from tests.web.display.test_system_status import event
from tests.web.site_lakes import FLEET, LakeServer, SiteLakeWriter
from web.app import create_app


def test_liveness_needs_no_lake_and_no_key(tmp_path: Path) -> None:
    with TestClient(create_app(tmp_path, exposed=True), "http://127.0.0.1") as client:
        answer = client.get("/healthz")
    assert (answer.status_code, answer.text) == (200, "ok")


def test_readiness_is_503_when_the_newest_sample_is_older_than_two_minutes(
    lake: SiteLakeWriter, site: Client
) -> None:
    lake.fleet([LakeServer("web", age=timedelta(seconds=150))])
    answer = site.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["status"] == "stale"
    assert answer.json()["detail"].startswith("the newest sample arrived 2 min 3")


def test_an_empty_lake_is_not_ready(site: Client) -> None:
    answer = site.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["newest_sample"] is None


def test_the_public_keys_of_the_status_stay(client: Client) -> None:
    status = client.get("/status.json").json()
    assert list(status) == [
        "now", "newest_sample", "last_commit", "waiting", "troubles", "outages", "model_refused",
    ]  # fmt: skip


def test_readiness_has_the_age_of_the_newest_sample(client: Client) -> None:
    ready = client.get("/readyz").json()
    assert ready["status"] == "ready"
    assert 0 < ready["age_seconds"] < 60
    assert client.get("/healthz").text == "ok"


def test_readiness_without_a_lake_is_503_and_says_so(tmp_path: Path) -> None:
    with TestClient(create_app(tmp_path), "http://127.0.0.1") as client:
        answer = client.get("/readyz")
    assert answer.status_code == 503
    assert "no lake in" in answer.json()["detail"]


def test_the_status_lists_each_problem(lake: SiteLakeWriter, site: Client) -> None:
    lake.fleet(FLEET[:1])
    lake.insert("processes", [event("engine", 20, "ended", "exit 1")])
    status = site.get("/status.json").json()
    assert [t["kind"] for t in status["troubles"]] == ["process-engine"]
