"""Peer: Prometheus by remote write; PromQL over HTTP, as VictoriaMetrics has it too."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa

from scripts.ports import free_port
from scripts.tools.bench.peers.peer import PeerMissing, PeerServer, folder_bytes
from scripts.tools.bench.peers.tsbs_workload import FIELDS, STEP_S, Span, TsbsQuery

REQUEST_STEPS = 360  # an hour of every series in a request
LITERAL = 1 << 16


class PrometheusPeer:
    """A server of its own with the remote-write receiver."""

    name = "Prometheus"

    def __init__(self, folder: Path) -> None:
        program = shutil.which("prometheus")
        if program is None:
            raise PeerMissing("apt-get install prometheus")
        folder.mkdir()
        self._folder = folder
        (folder / "prometheus.yml").write_text("global: {}\n")
        port = free_port()
        command: list[str | Path] = [
            program, f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'db'}", f"--web.listen-address=127.0.0.1:{port}",
            "--web.enable-remote-write-receiver", "--query.max-samples=500000000",
        ]  # fmt: skip
        self._server = PeerServer(command, folder / "log")
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120)
        self._server.wait(lambda: answers(self._http, "/-/ready"))
        printed = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
        self.version = (printed.stdout + printed.stderr).split()[2]

    def load(self, rows: pa.Table) -> None:
        series = list(series_of(rows))
        longest = max(len(times) for _, times, _ in series)
        for start in range(0, longest, REQUEST_STEPS):
            part = slice(start, start + REQUEST_STEPS)
            body = b"".join(
                _series(name, times[part], values[part]) for name, times, values in series
            )
            self._http.post(
                "/api/v1/write", content=_snappy(body),
                headers={"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf",
                         "X-Prometheus-Remote-Write-Version": "0.1.0"},
            ).raise_for_status()  # fmt: skip

    def compact(self) -> None:
        pass

    def stored_bytes(self) -> int:
        return folder_bytes(self._folder / "db")

    def query(self, query: TsbsQuery, span: Span) -> list[float]:
        return promql(self._http, query, span)

    def close(self) -> None:
        self._http.close()
        self._server.close()


def answers(http: httpx.Client, path: str) -> bool:
    """Return True if the server is ready."""
    try:
        return http.get(path).status_code == 200
    except httpx.TransportError:
        return False


def promql(http: httpx.Client, query: TsbsQuery, span: Span) -> list[float]:
    """Return the values of the result; a step ends a millisecond before the next one begins."""
    last = span.last(query.hours)
    since, until = last.since.timestamp(), last.until.timestamp()
    parameters: dict[str, str | float] = {"query": query.promql, "nocache": "1"}
    if query.step_s is None:
        path, parameters["time"] = "/api/v1/query", until - 0.001
    else:
        path, step = "/api/v1/query_range", query.step_s
        raw = step == STEP_S
        first = since if raw else max(since, until - 5 * step) if _few(query) else since
        parameters |= {"step": step, "start": first if raw else first + step - 0.001}
        parameters["end"] = until - STEP_S if raw else until - 0.001
    reply = http.post(path, data=parameters).raise_for_status().json()["data"]["result"]
    return [float(value) for each in reply for _, value in each.get("values") or [each["value"]]]


def _few(query: TsbsQuery) -> bool:
    """PromQL has no LIMIT over time: only the five steps that are needed are queried."""
    return "LIMIT 5" in query.sql


def series_of(rows: pa.Table) -> Iterator[tuple[dict[str, str], np.ndarray, np.ndarray]]:
    """Yield each series: labels, times [ms since 1970] and values."""
    ordered = rows.sort_by([("server", "ascending"), ("ts", "ascending")])
    servers, counts = np.unique(ordered["server"].to_numpy(), return_counts=True)
    times = np.asarray(ordered["ts"].cast(pa.int64())) // 1000
    ends = np.cumsum(counts)
    for server, start, end in zip(servers, ends - counts, ends, strict=True):
        for field in FIELDS:
            labels = {"__name__": "cpu", "field": field, "server": server}
            yield labels, times[start:end], ordered[field].to_numpy()[start:end].astype(float)


def _series(labels: dict[str, str], times: np.ndarray, values: np.ndarray) -> bytes:
    """Return a TimeSeries of the remote-write protocol (protobuf); a sample takes 18 bytes."""
    samples = np.zeros((len(times), 18), np.uint8)
    samples[:, :3] = 0x12, 16, 0x09  # samples, length, value as a double
    samples[:, 3:11] = values.astype("<f8").view(np.uint8).reshape(-1, 8)
    samples[:, 11] = 0x10  # timestamp as a varint: six bytes until the year 2109
    for i in range(6):
        samples[:, 12 + i] = (times >> (7 * i)) & 0x7F | (0x80 if i < 5 else 0)
    body = b"".join(
        _field(1, _field(1, k.encode()) + _field(2, v.encode())) for k, v in labels.items()
    )
    return _field(1, body + samples.tobytes())


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(parts) + bytes([value])


def _snappy(content: bytes) -> bytes:
    """Return the content in the snappy format, uncompressed: literals only."""
    parts = [_varint(len(content))]
    for start in range(0, len(content), LITERAL):
        piece = content[start : start + LITERAL]
        parts += [b"\xf4", (len(piece) - 1).to_bytes(2, "little"), piece]
    return b"".join(parts)
