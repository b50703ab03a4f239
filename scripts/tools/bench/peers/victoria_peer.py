"""Peer: VictoriaMetrics, single server."""

import json
import shutil
import subprocess
from pathlib import Path

import httpx
import pyarrow as pa

from scripts.ports import free_port
from scripts.tools.bench.peers.peer import PeerMissing, PeerServer, folder_bytes, wait_until
from scripts.tools.bench.peers.prometheus_peer import answers, promql, series_of
from scripts.tools.bench.peers.tsbs_workload import Span, TsbsQuery

REQUEST_SERIES = 500
PACKAGE = "victoria-metrics"


class Victoria:
    """Lines of JSON in, PromQL out."""

    name = "VictoriaMetrics"

    def __init__(self, folder: Path) -> None:
        program = shutil.which(PACKAGE)
        if program is None:
            raise PeerMissing("apt-get install victoria-metrics")
        folder.mkdir()
        self._folder = folder
        port = free_port()
        command: list[str | Path] = [
            program, f"-storageDataPath={folder / 'db'}", f"-httpListenAddr=127.0.0.1:{port}",
            "-retentionPeriod=100y", "-search.maxUniqueTimeseries=1000000",
        ]  # fmt: skip
        self._server = PeerServer(command, folder / "log")
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120)
        self._server.wait(lambda: answers(self._http, "/health"))
        self.version = _version(program)

    def load(self, rows: pa.Table) -> None:
        lines = [
            json.dumps({"metric": name, "values": values.tolist(), "timestamps": times.tolist()})
            for name, times, values in series_of(rows)
        ]
        for start in range(0, len(lines), REQUEST_SERIES):
            body = "\n".join(lines[start : start + REQUEST_SERIES])
            self._http.post("/api/v1/import", content=body).raise_for_status()
        self._http.get("/internal/force_flush").raise_for_status()
        wait_until(lambda: self._rows() >= rows.num_rows)

    def compact(self) -> None:
        self._http.get("/internal/force_merge").raise_for_status()

    def stored_bytes(self) -> int:
        return folder_bytes(self._folder / "db")

    def query(self, query: TsbsQuery, span: Span) -> list[float]:
        return promql(self._http, query, span)

    def close(self) -> None:
        self._http.close()
        self._server.close()

    def _rows(self) -> int:
        """Return the number of rows of one field; the newest become visible last."""
        reply = self._http.post(
            "/api/v1/query", data={"query": 'sum(count_over_time(cpu{field="usage_user"}[1y]))'}
        )
        series = reply.raise_for_status().json()["data"]["result"]
        return int(float(series[0]["value"][1])) if series else 0


def _version(program: str) -> str:
    """Return the version by the program, or by its package where the program has none (Debian)."""
    for command in ([program, "--version"], ["dpkg-query", "-W", "-f", "${Version}", PACKAGE]):
        output = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
        if output:
            return output
    return "of unknown version"
