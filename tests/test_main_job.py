"""`hoursight demo` as a user starts it: forecasts, a kill -9, Ctrl-C, a second start."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from scripts.ports import free_port
from storage.query.reader import Reader

SERVERS = 3
WITHIN_S = 60.0


def until(condition: Callable[[], Any], what: str) -> Any:
    """Look again until the condition holds; the time limit is the promise that is tested."""
    give_up = time.monotonic() + WITHIN_S
    while time.monotonic() < give_up:
        try:
            result = condition()
        except (urllib.error.URLError, ConnectionError):
            result = None
        if result:
            return result
        time.sleep(0.2)
    pytest.fail(f"not within {WITHIN_S:g} s: {what}")


class Demo:
    """A running demo and its site."""

    def __init__(self, data: Path, port: int) -> None:
        self.data, self.url = data, f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "hoursight", "demo", "--data", str(data)]
        self.process = subprocess.Popen(
            [*command, "--port", str(port), "--servers", str(SERVERS)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def page(self, path: str = "/") -> str:
        with urllib.request.urlopen(self.url + path, timeout=10) as reply:
            return str(reply.read().decode())

    def fleet(self) -> list[dict[str, Any]]:
        rows = json.loads(self.page("/fleet.json"))
        return list(rows if isinstance(rows, list) else rows["servers"])

    def sql(self, text: str) -> list[dict[str, Any]]:
        reader = Reader.open(self.data)
        rows: list[dict[str, Any]] = reader.query(text).to_pylist()
        reader.close()
        return rows

    def pid_of(self, name: str) -> int:
        rows = self.sql(
            f"SELECT arg_max(pid, ts) AS pid FROM processes "
            f"WHERE process = '{name}' AND event = 'started'"
        )
        return int(rows[0]["pid"])


@contextmanager
def running(data: Path) -> Iterator[Demo]:
    demo = Demo(data, free_port())
    try:
        yield demo
        demo.process.send_signal(signal.SIGINT)
        output, _ = demo.process.communicate(timeout=30)
        assert demo.process.returncode == 0, output
        assert "Stopped. The data stays" in output
    finally:
        if demo.process.poll() is None:
            demo.process.kill()
            demo.process.communicate()


@pytest.mark.quiet
@pytest.mark.timeout(300)
def test_the_main_job(tmp_path: Path) -> None:
    data = tmp_path / "var"
    with running(data) as demo:
        forecast = until(
            lambda: [s for s in demo.fleet() if s["forecast_state"] == "ok"], "forecasts"
        )
        assert len(forecast) == SERVERS
        assert len(demo.fleet()) == SERVERS + 1
        until(lambda: re.search("Collecting, [0-9]+ of 288", demo.page()), "the new host collects")
        kill_and_see_it_come_back(demo)
        before = demo.sql("SELECT count(*) AS n, max(ts) AS newest FROM metrics")[0]
    with running(data) as demo:
        until(demo.fleet, "the site answers")  # newer samples may have come before the first end
        until(
            lambda: demo.sql("SELECT max(ts) AS ts FROM metrics")[0]["ts"] > before["newest"], "on"
        )
        counts = demo.sql(
            "SELECT count(*) AS n, count(DISTINCT (server, ts)) AS different, "
            "count(*) FILTER (source = 'simulator' AND ts <= now() - INTERVAL 10 SECOND "
            "AND ts > now() - INTERVAL 25 SECOND) AS recent FROM metrics"
        )[0]
        assert counts["n"] == counts["different"] > before["n"]


def kill_and_see_it_come_back(demo: Demo) -> None:
    first = demo.pid_of("writer")
    os.kill(first, signal.SIGKILL)
    until(lambda: demo.pid_of("writer") != first, "the writer is back")
    until(lambda: "writer" in demo.page() and "signal 9" in demo.page(), "the site tells")
    newest = "SELECT max(ts) > now() - INTERVAL 10 SECOND AS live FROM metrics"
    until(lambda: demo.sql(newest)[0]["live"], "samples flow again")
