"""`GET /metrics`: format, access, and a real Prometheus that scrapes it."""

import threading
from pathlib import Path
from typing import Any

import uvicorn
from litestar.testing import TestClient

from scripts.ports import free_port
from tests.functions.prometheus_server import PrometheusServer, needs_prometheus, until
from tests.web.conftest import Client
from tests.web.site_lakes import SiteLakeWriter
from tests.web.telemetry.test_telemetry import values
from web.app import create_app


def test_it_answers_200_without_a_lake(tmp_path: Path) -> None:
    with TestClient(create_app(tmp_path / "nothing"), "http://127.0.0.1") as site:
        reply = site.get("/metrics")
    assert reply.status_code == 200
    assert values(reply.text)["hoursight_up"] == 0


def test_it_is_not_cached(client: Client) -> None:
    assert client.get("/metrics").headers["cache-control"] == "no-store"


def test_the_site_serves_the_text_format(client: Client) -> None:
    reply = client.get("/metrics")
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    samples = values(reply.text)
    assert samples["hoursight_up"] == 1
    assert samples["hoursight_servers"] == 9
    assert samples["hoursight_servers_reporting"] == 8  # gpu-node-3 is stale
    assert 0 < samples["hoursight_newest_sample_age_seconds"] < 120


def test_who_may_read_the_site_may_scrape_it(lake: SiteLakeWriter) -> None:
    with TestClient(create_app(lake.folders.data, exposed=True), "http://127.0.0.1") as site:
        reply = site.get("/metrics")
    assert reply.status_code == 401
    assert reply.headers["content-type"].startswith("application/problem+json")


@needs_prometheus
def test_prometheus_scrapes_it(lake: SiteLakeWriter, tmp_path: Path) -> None:
    port = free_port()
    app = create_app(lake.fleet().folders.data)
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, lifespan="on"))
    thread = threading.Thread(target=server.run)
    thread.start()
    prometheus = PrometheusServer(
        tmp_path,
        "scrape_configs: [{job_name: hoursight, scrape_interval: 1s, static_configs: "
        f"[{{targets: ['127.0.0.1:{port}']}}]}}]",
    )
    try:
        prometheus.start()

        def scraped() -> Any:
            reply = prometheus.client.get("/api/v1/query", params={"query": "hoursight_servers"})
            return reply.json()["data"]["result"]

        (series,) = until(scraped, "the first scrape")
        assert series["value"][1] == "9"
    finally:
        prometheus.close()
        server.should_exit = True
        app.state.live.close()
        thread.join()
