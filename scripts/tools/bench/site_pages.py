"""Benchmark of the site's pages: `python -m scripts.tools.bench site_pages`.

The site runs as a process of its own over a lake of a large fleet. Before each request a sample of
every server is committed, so that no page is answered from an earlier one.
"""

import contextlib
import gzip
import http.client
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from scripts.ports import free_port
from scripts.python_process import module_command, module_environment
from scripts.tools.bench.measure import Figure, quantile, stopwatch
from scripts.tools.bench.site_lake import SiteLake
from storage.config.settings import Settings, WebSettings, write_settings

__all__ = ["figures"]

START_S = 60.0
HTMX = {"HX-Request": "true"}
FLEET_MS, LARGE_FLEET_MS, SERVER_MS, SERVER_KB = 60, 100, 60, 150
LARGE = 5000
OPEN_PAGES, OPEN_PAGES_PERCENT, POLL_S = 100, 20, 15


@dataclass(frozen=True, slots=True)
class _Site:
    """The site's process and a connection to it."""

    process: psutil.Process
    connection: http.client.HTTPConnection

    def cpu_s(self) -> float:
        """CPU time of the process so far."""
        times = self.process.cpu_times()
        return float(times.user + times.system)


@dataclass(frozen=True, slots=True)
class _Timing:
    """Times of requests, the mean CPU time of one, and the compressed bytes of the last answer."""

    took_ms: list[float]
    cpu_ms: float
    size: int


def figures(sizes: Sequence[int], rounds: int) -> Iterator[Figure]:
    """Measure the fleet page, its fragment and a server page of a fleet of each size."""
    for servers in sizes:
        with tempfile.TemporaryDirectory(prefix="hoursight-bench-") as folder:
            lake = SiteLake(Path(folder) / "var", servers)
            try:
                with _running(lake) as site:
                    yield from _pages(lake, site, servers, rounds)
            finally:
                lake.close()


def _pages(
    lake: SiteLake, site: "_Site", servers: int, rounds: int
) -> Iterator[Figure]:  # fmt: skip
    fleet_ms = LARGE_FLEET_MS if servers >= LARGE else FLEET_MS
    pages: tuple[tuple[str, str, dict[str, str], float], ...] = (
        ("fleet page", "/", {}, fleet_ms),
        ("fleet fragment", "/", HTMX, fleet_ms),
        ("heat map", "/?view=heat", HTMX, fleet_ms),
        ("one metric of all", "/?view=mem_used_pct", HTMX, fleet_ms),
        ("server page", f"/servers/{lake.first_server}", {}, SERVER_MS),
    )
    for name, path, headers, goal in pages:
        timing = _timed(lake, site, path, headers, rounds)
        what = f"{name}, {servers:,} servers"
        yield Figure(f"{what}: p95", quantile(timing.took_ms, 0.95), "ms", goal)
        yield Figure(f"{what}: CPU of a request", timing.cpu_ms, "ms", goal)
        yield Figure(f"{what}: compressed", timing.size / 1000, "kB", SERVER_KB)
    timing = _timed(lake, site, "/", HTMX, 10 * rounds, commit=False)
    busy = timing.cpu_ms / 1000 * OPEN_PAGES / POLL_S
    yield Figure(
        f"{OPEN_PAGES} open pages between commits, {servers:,} servers", 100 * busy, "% of a core",
        OPEN_PAGES_PERCENT,
    )  # fmt: skip


def _timed(
    lake: SiteLake, site: _Site, path: str, headers: dict[str, str], rounds: int,
    commit: bool = True,
) -> _Timing:  # fmt: skip
    took_ms = []
    _get(site.connection, path, headers)  # the first opens the lake
    began = site.cpu_s()
    for _ in range(rounds):
        if commit:
            lake.commit_samples(datetime.now(UTC))
        with stopwatch() as elapsed:
            body = _get(site.connection, path, headers)
            took_ms.append(elapsed())
    return _Timing(took_ms, 1000 * (site.cpu_s() - began) / rounds, len(body))


def _get(connection: http.client.HTTPConnection, path: str, headers: dict[str, str]) -> bytes:
    connection.request("GET", path, headers={"Accept-Encoding": "gzip"} | headers)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200 or not gzip.decompress(body):
        raise RuntimeError(f"{path} was answered with {answer.status}")
    return body


@contextlib.contextmanager
def _running(lake: SiteLake) -> Iterator[_Site]:
    """The site over the lake, as a process."""
    port = free_port()
    write_settings(lake.folders.data, Settings(web=WebSettings(port=port)))
    process = subprocess.Popen(
        [*module_command("web"), "--data", str(lake.folders.data)], env=module_environment(),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield _Site(psutil.Process(process.pid), _connected(port))
    finally:
        process.terminate()
        process.wait()


def _connected(port: int) -> http.client.HTTPConnection:
    give_up = time.monotonic() + START_S
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_S)
        try:
            connection.connect()
        except ConnectionRefusedError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.1)
        else:
            return connection
