"""Series, source files and the contract's rig for the tests of the Prometheus connector."""

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.conftest import NOW
from tests.functions.connectors.connector_contract import Rig
from tests.functions.prometheus_server import Labels, PrometheusServer

Series = tuple[Labels, list[tuple[datetime, float]]]
Text = Callable[..., str]

BOOTED = 1_700_000_000.0


def times_of(step_s: float, start_s: float, end_s: float = 0) -> list[datetime]:
    """Times a step apart, from so many seconds before NOW until so many before it."""
    count = int((start_s - end_s) / step_s)
    return [NOW - timedelta(seconds=start_s - i * step_s) for i in range(count)]


def gauge(
    job: str, name: str, values: Mapping[datetime, float], instance: str = "db1:9100", **more: str
) -> Series:
    return {"__name__": name, "job": job, "instance": instance, **more}, list(values.items())


def fleet(job: str, times: list[datetime], instance: str = "db1:9100", boots: float = BOOTED,
          cores: int = 2, since: float = 0) -> list[Series]:  # fmt: skip
    """The series of a server that spends 20 % of each core in user mode and receives 1 MB/s.

    Its counters start `since` seconds before the first of the times.
    """
    first = times[0].timestamp() - since
    seconds = {ts: ts.timestamp() - first for ts in times}
    shares = {"user": 0.2, "system": 0.1, "iowait": 0.0, "idle": 0.7}
    series = [
        gauge(job, "node_boot_time_seconds", dict.fromkeys(times, boots), instance),
        gauge(job, "node_network_receive_bytes_total", {ts: 1e6 * s for ts, s in seconds.items()},
              instance, device="eth0"),
        gauge(job, "node_network_receive_bytes_total", {ts: 9e9 * s for ts, s in seconds.items()},
              instance, device="veth7"),
        gauge(job, "node_load1", dict.fromkeys(times, 0.5), instance),
    ]  # fmt: skip
    for core in range(cores):
        for mode, share in shares.items():
            values = {ts: share * s for ts, s in seconds.items()}
            series.append(
                gauge(job, "node_cpu_seconds_total", values, instance, cpu=str(core), mode=mode)
            )
    return series


class PrometheusRig(Rig):
    """A real Prometheus with the CPU counters of a fleet whose shares are those of documents."""

    page = 200
    cannot = MappingProxyType(
        {"clock_is_ahead": "Prometheus is asked for the scrapes up to now; later ones wait there"}
    )

    def __init__(self, server: PrometheusServer, text: Text, job: str, other: Path) -> None:
        self.server, self.job, self._text, self._other = server, job, text, other
        self._spent: dict[str, dict[str, float]] = {}
        self._last: dict[str, datetime] = {}

    def text(self, **connection: Any) -> str:
        return self._text(clock="up", **connection)

    def put(self, documents: list[dict[str, Any]]) -> None:
        series: dict[tuple[tuple[str, str], ...], list[tuple[datetime, float]]] = {}
        for each in documents:
            name, ts = each["hostname"], each["ts"]
            spent = self._spent.setdefault(name, {"user": 0.0, "system": 0.0, "idle": 0.0})
            before = ts - timedelta(seconds=5)
            if self._last.get(name) != before:
                self._add_sample(series, name, before, spent)
            spent["user"] += each["cpu_user_pct"] / 20
            spent["idle"] += (100 - each["cpu_user_pct"]) / 20
            self._add_sample(series, name, ts, spent)
            self._last[name] = ts
        self.server.put([(dict(labels), samples) for labels, samples in series.items()])

    def _add_sample(self, series: Any, name: str, ts: datetime, spent: dict[str, float]) -> None:
        base = {"job": self.job, "instance": f"{name}:9100"}
        values = [({"__name__": "up"}, 1.0)] + [
            ({"__name__": "node_cpu_seconds_total", "cpu": "0", "mode": mode}, seconds)
            for mode, seconds in spent.items()
        ]
        for labels, value in values:
            series.setdefault(tuple((base | labels).items()), []).append((ts, value))

    def stop(self) -> None:
        self.server.kill()

    def start(self) -> None:
        self.server.start()

    def wrong_password(self) -> str:
        return self.text().replace("PROMETHEUS_PASSWORD", "HOME")

    def wrong_ca(self) -> str:
        return self.text(ca_file=str(self._other))

    @contextmanager
    def slow(self) -> Iterator[str]:
        self.server.send(signal.SIGSTOP)
        try:
            yield self.text(timeout="200ms")
        finally:
            self.server.send(signal.SIGCONT)
