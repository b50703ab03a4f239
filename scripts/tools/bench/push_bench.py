"""Benchmark of pushed rows: JSON records and line protocol over HTTP, and parsing alone."""

import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from functions.ingest.row_assembly import RowAssembler
from functions.ingest.telegraf import TelegrafReader
from scripts.ports import free_port
from scripts.python_process import module_command, module_environment
from scripts.tools.bench.measure import Figure, median, quantile, stopwatch
from storage.model.metrics import METRIC_NAMES

__all__ = ["figures"]

SEED = 3
RECORDS = 1000
LINES, FIELDS = 5000, 10
BODIES = 64  # each with times of its own, as senders send them
PEER = "victoria-metrics"
SETTINGS = "[sources.host]\nenabled = false\n"

Send = Callable[[http.client.HTTPConnection, int], float]


def figures(seconds: float, connections: int) -> Iterator[Figure]:
    """Measure parsing, records and lines; requests are sent for `seconds` for each figure."""
    yield from _parsing()
    with tempfile.TemporaryDirectory() as folder, _running(Path(folder)) as port:
        yield from _records(port, seconds, connections)
        yield from _lines(port, Path(folder), seconds, connections)


def _parsing() -> Iterator[Figure]:
    """Measure the CPU time from line protocol to rows: no HTTP, no disk."""
    body, reader = _body(0).decode(), TelegrafReader(METRIC_NAMES)
    times = []
    for _ in range(15):
        began = time.process_time()
        read = reader.read(body, "ns", datetime.now(UTC))
        RowAssembler("bench", METRIC_NAMES).rows(read.readings)
        times.append(time.process_time() - began)
    rate = LINES * FIELDS / median(times)
    yield Figure("lines to rows, a second of CPU", rate, "values", 300_000, at_least=True)


def _records(port: int, seconds: float, connections: int) -> Iterator[Figure]:
    body = json.dumps(_some_records()).encode()
    head = {"Content-Type": "application/json"}

    def send(connection: http.client.HTTPConnection, _: int) -> float:
        return _post(connection, "/feed", body, head, 200)

    took_ms, rate = _load(port, send, seconds, connections)
    name = f"POST /feed, {RECORDS} records, {connections} connections"
    yield Figure(f"{name}: requests", rate, "/s", 20, at_least=True)
    yield Figure(f"{name}: p95", quantile(took_ms, 0.95), "ms", 150)


def _lines(port: int, folder: Path, seconds: float, connections: int) -> Iterator[Figure]:
    bodies = [_body(number) for number in range(BODIES)]

    def send(connection: http.client.HTTPConnection, number: int) -> float:
        return _post(connection, "/write", bodies[number % len(bodies)], {}, 204)

    peer = _peer(folder)
    with peer as peer_port:
        rates: dict[int, list[float]] = {port: [], **({peer_port: []} if peer_port else {})}
        for _ in range(3):  # in turn, so that a noisy machine is noisy for both
            for each, measured in rates.items():
                measured.append(_load(each, send, seconds / 3, connections)[1] * LINES * FIELDS)
    theirs = median(rates[peer_port]) if peer_port else None
    yield Figure(
        f"POST /write, {LINES} lines of {FIELDS} values, {connections} connections",
        median(rates[port]), "values/s", 300_000, peer=_version() if theirs else "",
        peer_value=theirs, at_least=True,
    )  # fmt: skip


def _load(port: int, send: Send, seconds: float, connections: int) -> tuple[list[float], float]:
    """Send over several connections; return the times [ms], and how many requests a second."""
    took_ms: list[float] = []
    end = time.perf_counter() + seconds

    def one(first: int) -> None:
        connection, number = http.client.HTTPConnection("127.0.0.1", port), first
        while time.perf_counter() < end:
            took_ms.append(send(connection, number))
            number += connections
        connection.close()

    began = time.perf_counter()
    threads = [threading.Thread(target=one, args=(n,)) for n in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return took_ms, len(took_ms) / (time.perf_counter() - began)


def _post(
    connection: http.client.HTTPConnection, path: str, body: bytes, head: dict[str, str], ok: int
) -> float:
    with stopwatch() as elapsed:
        while True:
            connection.request("POST", path, body, head)
            reply = connection.getresponse()
            answer = reply.read()
            if reply.status == ok:
                return elapsed()
            if reply.status not in (429, 503):
                raise RuntimeError(f"{path} answered {reply.status}: {answer.decode()}")
            time.sleep(float(reply.headers.get("Retry-After", 1)))  # it counts as waiting


def _some_records() -> list[dict[str, object]]:
    rng = np.random.default_rng(SEED)
    now = datetime.now(UTC).isoformat()
    values = rng.uniform(0, 100, (RECORDS, len(METRIC_NAMES))).round(2)
    return [
        {"server": f"host{n:04}", "ts": now, **dict(zip(METRIC_NAMES, row.tolist(), strict=True))}
        for n, row in enumerate(values)
    ]


def _body(number: int) -> bytes:
    """Return lines with 10 metrics of 1,000 servers, at times that no other body has."""
    rng = np.random.default_rng(SEED + number)
    start = time.time_ns() // 10**9 - 7200 + number * LINES // 1000 * 10
    values = rng.uniform(0, 100, (LINES, FIELDS)).round(3).tolist()
    lines = []
    for n, row in enumerate(values):
        fields = ",".join(f"{m}={v}" for m, v in zip(METRIC_NAMES, row, strict=False))
        ts = start + n // 1000 * 10
        lines.append(f"bench,host=host{n % 1000:04},region=eu,os=debian {fields} {ts}000000000")
    return "\n".join(lines).encode()


@contextlib.contextmanager
def _running(folder: Path) -> Iterator[int]:
    """Run writer, collector and one worker of the site; give the port of the site."""
    data, port = folder / "var", free_port()
    data.mkdir()
    (data / "hoursight.toml").write_text(SETTINGS)
    environment = module_environment() | {
        "HOURSIGHT_DATA": str(data), "HOURSIGHT_PORT": str(port),
    }  # fmt: skip
    commands = (["storage"], ["functions", "collector"], ["web"])
    with contextlib.ExitStack() as stack:
        for command in commands:
            stack.enter_context(_process(module_command(*command), environment))
        _wait_for(lambda: (data / "feed.sock").exists() and _listens(port))
        yield port


@contextlib.contextmanager
def _peer(folder: Path) -> Iterator[int | None]:
    path = shutil.which(PEER)
    if path is None:
        print(f"no {PEER} to compare with: apt-get install {PEER}")
        yield None
        return
    port = free_port()
    flags = [f"-storageDataPath={folder / 'peer'}", f"-httpListenAddr=127.0.0.1:{port}"]
    with _process([path, *flags], dict(os.environ)):
        _wait_for(lambda: _listens(port))
        yield port


def _version() -> str:
    package = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}", PEER], capture_output=True, text=True, check=False
    )
    return f"{PEER} {package.stdout.partition('+')[0]}".strip()


@contextlib.contextmanager
def _process(command: Sequence[str], environment: dict[str, str]) -> Iterator[None]:
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


def _wait_for(ready: Callable[[], bool], seconds: float = 60) -> None:
    give_up = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > give_up:
            raise RuntimeError("a process did not start: run it by hand to see why")
        time.sleep(0.1)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
