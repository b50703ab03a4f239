"""A real Alertmanager for tests, as a process of its own."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from scripts.ports import free_port
from tests.functions.prometheus_server import until

__all__ = ["ALERTMANAGER", "AlertmanagerServer", "alertmanager"]

ALERTMANAGER = "/usr/bin/prometheus-alertmanager"
CONFIG = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"


class AlertmanagerServer:
    """A running server."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = httpx.Client(base_url=url, trust_env=False)

    def alerts(self) -> list[dict[str, Any]]:
        """The alerts that are open."""
        alerts: list[dict[str, Any]] = self.client.get("/api/v2/alerts").json()
        return alerts


@contextmanager
def alertmanager(folder: Path) -> Iterator[AlertmanagerServer]:
    """Run a server that has no peers and sends nothing anywhere."""
    (folder / "alertmanager.yml").write_text(CONFIG)
    port = free_port()
    process = subprocess.Popen(
        [
            ALERTMANAGER, f"--config.file={folder / 'alertmanager.yml'}",
            f"--storage.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
        ],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    server = AlertmanagerServer(f"http://127.0.0.1:{port}")
    try:
        until(lambda: server.client.get("/-/ready").status_code == 200, "it is ready")
        yield server
    finally:
        server.client.close()
        process.kill()
        process.wait()
