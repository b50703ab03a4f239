"""A real Prometheus server for tests, as a process of its own."""

import os
import shutil
import signal
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest

from functions.ingest.remote_write import WriteRequest
from scripts.ports import free_port

__all__ = [
    "EXPORTER", "PASSWORD", "PROMETHEUS", "Labels", "PrometheusServer", "needs_prometheus", "until",
]  # fmt: skip

PROMETHEUS, EXPORTER = shutil.which("prometheus"), shutil.which("prometheus-node-exporter")
needs_prometheus = pytest.mark.skipif(
    not (PROMETHEUS and EXPORTER),
    reason="prometheus and prometheus-node-exporter are not installed",
)
PASSWORD = "sesame, open"  # noqa: S105 - of a test
WEB = """\
tls_server_config: {{cert_file: {folder}/server.pem, key_file: {folder}/server.pem}}
basic_auth_users: {{reader: $2b$04$abcdefghijklmnopqrstuufW4mGRooZxQxi4ygN6kr6jGiiMjeyH.}}
"""
Labels = dict[str, str]


class PrometheusServer:
    """A server process and its data; may be killed, started again and suspended.

    With `tls` it accepts TLS only (server.pem and ca.pem in `folder`) and requires the password of
    the user `reader`.
    """

    def __init__(self, folder: Path, config: str, tls: bool = False) -> None:
        self.port, self._folder = free_port(), folder
        (folder / "prometheus.yml").write_text(config)
        (folder / "web.yml").write_text(WEB.format(folder=folder) if tls else "")
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        trust = ssl.create_default_context(cafile=str(folder / "ca.pem")) if tls else True
        auth = ("reader", PASSWORD) if tls else None
        self.client = httpx.Client(base_url=self.url, verify=trust, auth=auth, trust_env=False)

    def start(self) -> None:
        """Start the process, and wait until it is ready."""
        self._process = subprocess.Popen(
            [
                str(PROMETHEUS), f"--config.file={self._folder / 'prometheus.yml'}",
                f"--web.config.file={self._folder / 'web.yml'}",
                "--web.enable-remote-write-receiver",
                f"--web.listen-address=127.0.0.1:{self.port}",
                f"--storage.tsdb.path={self._folder / 'tsdb'}",
                "--storage.tsdb.retention.time=100y", "--query.max-samples=50000",
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        until(lambda: self.client.get("/-/ready").status_code == 200, "it is ready")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def send(self, which: signal.Signals) -> None:
        os.kill(self._process.pid, which)

    def put(self, series: list[tuple[Labels, list[tuple[datetime, float]]]]) -> None:
        """Store samples by remote write."""
        request = WriteRequest()
        for labels, samples in series:
            into = request.timeseries.add()
            for name, value in sorted(labels.items()):
                into.labels.add(name=name, value=value)
            for ts, number in samples:
                into.samples.add(value=number, timestamp=round(ts.timestamp() * 1000))
        body = pa.compress(request.SerializeToString(), codec="snappy", asbytes=True)
        kind = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}
        reply = self.client.post("/api/v1/write", content=body, headers=kind)
        assert reply.status_code == 204, reply.text

    def close(self) -> None:
        self.client.close()
        self.kill()


def until(condition: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    """Call `condition` until it returns something true, and return that."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if value := condition():
                return value
        except (httpx.TransportError, OSError):  # the server is not ready yet
            pass
        threading.Event().wait(0.05)
    raise AssertionError(f"not within {seconds} s: {what}")
