"""Host source: this machine's own metrics, read with psutil."""

import json
import math
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

import numpy as np
import psutil
import pyarrow as pa

from functions.connectors.host_devices import read_fullness, read_links
from functions.engine.function import Batch, function
from functions.engine.triggers import every
from functions.normalize import cpu_modes
from functions.normalize.counters import MAX_GAP_S, growth, rate
from functions.normalize.device_facts import DeviceFacts
from functions.normalize.devices import STOCK_RULES, DeviceRules
from storage.config.settings import DeviceSettings
from storage.model.metrics import METRICS, Metric
from storage.model.names import check_name
from storage.model.schema import table

__all__ = ["HostCounters", "HostReading", "JavaScan", "host", "host_batch", "read_host", "sample"]

CURSOR_VERSION = 1
FIRST_STEP_S = 0.5
SCAN_PAUSE_S = 9.5  # two runs of 5 s less the jitter of runs: a scan costs more than all the rest
BOOT_TOLERANCE_S = 5.0  # boot time is now minus uptime in whole seconds, and NTP adjusts now

STOCK_DEVICES = DeviceSettings()

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class JavaScan:
    """A scan of the JVM processes: CPU seconds of each so far, by `pid@start`.

    `new` are those younger than the pause between scans; `used_pct` is their CPU in % of all cores
    up to this scan.
    """

    at: float
    cpu_s: Mapping[str, float]
    new: frozenset[str] = frozenset()
    used_pct: float | None = None


@dataclass(frozen=True, slots=True)
class HostCounters:
    """Counters, whose differences between two readings are the metrics.

    `at` is the machine's monotonic clock and `booted_at` epoch time, both in seconds; `cpu_s` holds
    seconds by state, `links` bytes received and sent.
    """

    at: float
    booted_at: float
    cpu_s: Mapping[str, float]
    links: Mapping[str, tuple[int, int]]
    java: JavaScan | None = None
    devices: DeviceFacts = field(default_factory=DeviceFacts)  # as stated with an earlier reading


@dataclass(frozen=True, slots=True)
class HostReading:
    """One reading of the machine: its counters, and the metrics that need no difference.

    `fullness` is the share used of each volume that counts [%], by mount point.
    """

    counters: HostCounters
    gauges: Mapping[str, float | None] = field(default_factory=dict)
    cores: int | None = None
    fullness: Mapping[str, float] = field(default_factory=dict)


Probe = Callable[[float | None], HostReading]


# Without a cursor a run takes two readings; samples that are missed cannot be read later.
@function(on=every("5s"), writes=("metrics", "server_facts"), cursor_required=False)
def host(now: datetime, cursor: str | None, devices: DeviceSettings = STOCK_DEVICES) -> Batch:
    """Return this machine's own 14 metrics."""
    server = check_name("host name", socket.gethostname().lower(), "set it with hostnamectl")
    probe = partial(read_host, rules=DeviceRules(devices))
    return host_batch(now, cursor, server, probe, time.sleep)


def host_batch(
    now: datetime, cursor: str | None, server: str, probe: Probe, pause: Callable[[float], None]
) -> Batch:
    """Return a row of metrics, and one of facts where these changed since the earlier reading.

    Without an earlier reading to continue from there is one.
    """
    last, reading, fresh = _two_readings(_decode_cursor(cursor), probe, pause)
    values = sample(last, reading)
    rows = {"metrics": _row("metrics", server=server, ts=now, source="host", **values)}
    devices = DeviceFacts(last.devices.volume, last.devices.links)
    if devices.update(reading.fullness, reading.counters.links) or fresh:
        rows["server_facts"] = _row(
            "server_facts", server=server, ts=now, cores=reading.cores,
            disk_volume=devices.volume, net_links=devices.links,
        )  # fmt: skip
    counters = replace(reading.counters, devices=devices)
    return Batch(rows, _encode_cursor(_with_java(last, counters, values["java_cpu_pct"])))


def sample(before: HostCounters, after: HostReading) -> dict[str, float | None]:
    """Return all 14 metrics by name, None for those that this machine does not report."""
    counters = after.counters
    values = {
        **after.gauges,
        **cpu_shares(before.cpu_s, counters.cpu_s, counters.at - before.at),
        "java_cpu_pct": java_share(before.java, counters.java, after.cores),
        **traffic(before, counters),
    }
    return {m.name: _allowed(m, values.get(m.name)) for m in METRICS}


def cpu_shares(
    before: Mapping[str, float], after: Mapping[str, float], seconds: float = FIRST_STEP_S
) -> dict[str, float | None]:
    """User, kernel, waiting and idle CPU in percent, from CPU seconds by mode.

    `seconds` lie between the two readings. None after a reset or a long gap (see `counters`).
    """
    modes = [mode for mode in after if mode in before]
    grown = growth([[before[m] for m in modes]], [[after[m] for m in modes]], seconds)
    shares = cpu_modes.cpu_shares(grown, modes)
    return {
        metric: _known(shares[metric][0]) if metric in shares else None
        for metric in cpu_modes.MODES_OF
    }


def java_share(before: JavaScan | None, after: JavaScan | None, cores: int | None) -> float | None:
    """CPU of the JVMs in percent of all cores; the last value between two scans."""
    if after is None:
        return before.used_pct if before else None
    if before is None or not cores:
        return None
    used = sum(
        max(0.0, cpu_s - before.cpu_s.get(process, 0.0))
        for process, cpu_s in after.cpu_s.items()
        if process in before.cpu_s or process in after.new
    )
    per_second = _known(rate(0.0, used, after.at - before.at))
    return None if per_second is None else 100 * per_second / cores


def traffic(before: HostCounters, after: HostCounters) -> dict[str, float | None]:
    """Megabytes per second in and out over the links that both readings know.

    None after a reset or a long gap (see `counters`). A link that was reset counts anew both ways.
    """
    links = [name for name in after.links if name in before.links]
    rates = rate(
        [before.links[name] for name in links], [after.links[name] for name in links],
        after.at - before.at,
    )  # fmt: skip
    if not links or np.isnan(rates).any():
        return {"net_in_mb_s": None, "net_out_mb_s": None}
    received, sent = (rates.sum(axis=0) / 1e6).tolist()
    return {"net_in_mb_s": received, "net_out_mb_s": sent}


def read_host(scanned_at: float | None, rules: DeviceRules = STOCK_RULES) -> HostReading:
    """Read this machine; its processes only if the last scan (`scanned_at`) is old enough.

    `scanned_at` is monotonic time in seconds, None without a scan.
    """
    at = time.monotonic()
    due = scanned_at is None or not 0 <= at - scanned_at < SCAN_PAUSE_S
    counters = HostCounters(
        at=at,
        booted_at=psutil.boot_time(),
        cpu_s=psutil.cpu_times()._asdict(),
        links=_or_none(lambda: read_links(rules)) or {},
        java=scan_java(at, time.time(), psutil.process_iter(["name"])) if due else None,
    )
    fullness = _or_none(lambda: read_fullness(rules)) or {}
    gauges = {
        "mem_used_pct": _or_none(_read_memory),
        "swap_used_pct": _or_none(_read_swap),
        "disk_usage_pct": max(fullness.values(), default=None),
        "load_average": _or_none(lambda: psutil.getloadavg()[0]),
        "uptime_days": uptime_days(time.time(), counters.booted_at),
        **close_wait(_or_none(lambda: psutil.net_connections("tcp"))),
    }
    return HostReading(counters, gauges, psutil.cpu_count(), fullness)


def uptime_days(clock_s: float, booted_at: float) -> float | None:
    """Days since the boot, both times in epoch seconds; None for a boot in the future."""
    since = clock_s - booted_at
    return None if since < -BOOT_TOLERANCE_S else max(0.0, since) / 86_400


def close_wait(sockets: Iterable[Any] | None) -> dict[str, float | None]:
    """Return the CLOSE_WAIT sockets of clients and of back ends; None without `sockets`.

    Those of clients are on ports that this host listens on.
    """
    if sockets is None:
        return {"front_close_wait": None, "back_close_wait": None}
    ports = [(s.status, s.laddr.port) for s in sockets if s.laddr]
    listening = {port for status, port in ports if status == psutil.CONN_LISTEN}
    waiting = [port for status, port in ports if status == psutil.CONN_CLOSE_WAIT]
    front = sum(port in listening for port in waiting)
    return {"front_close_wait": float(front), "back_close_wait": float(len(waiting) - front)}


def scan_java(at: float, clock_s: float, processes: Iterable[Any]) -> JavaScan | None:
    """Return the JVMs among `processes`; None when there are some, but none may be read.

    `at` is monotonic time and `clock_s` epoch time, both in seconds.
    """
    cpu_s: dict[str, float] = {}
    new: set[str] = set()
    denied = False
    for process in processes:
        if (process.info["name"] or "").lower() not in ("java", "java.exe"):
            continue
        try:
            born, times = process.create_time(), process.cpu_times()
        except psutil.Error as error:
            denied |= isinstance(error, psutil.AccessDenied)
            continue
        key = f"{process.pid}@{born:.0f}"
        cpu_s[key] = times.user + times.system
        if clock_s - born < SCAN_PAUSE_S:
            new.add(key)
    return None if denied and not cpu_s else JavaScan(at, cpu_s, frozenset(new))


def _or_none(read: Callable[[], T]) -> T | None:
    try:
        return read()
    except (psutil.Error, OSError, NotImplementedError):
        return None


def _read_memory() -> float | None:
    memory = psutil.virtual_memory()
    return 100 * (memory.total - memory.available) / memory.total if memory.total else None


def _read_swap() -> float:
    # Without swap 0 % is true, not missing.
    return float(psutil.swap_memory().percent)


def _two_readings(
    last: HostCounters | None, probe: Probe, pause: Callable[[float], None]
) -> tuple[HostCounters, HostReading, bool]:
    """The reading to continue from and the present one; True if the first was taken just now."""
    if last:
        reading = probe(last.java.at if last.java else None)
        if _continues(last, reading.counters):
            return last, reading, False
    last = probe(None).counters
    pause(FIRST_STEP_S)
    return last, probe(None), True


def _continues(before: HostCounters, after: HostCounters) -> bool:
    same_boot = abs(after.booted_at - before.booted_at) <= BOOT_TOLERANCE_S
    return same_boot and 0 < after.at - before.at <= MAX_GAP_S


def _with_java(before: HostCounters, after: HostCounters, used_pct: float | None) -> HostCounters:
    scan = after.java or before.java
    return replace(after, java=scan and replace(scan, used_pct=used_pct))


def _allowed(metric: Metric, value: float | None) -> float | None:
    """`value` without what a clock tick more or less puts above its range; None if impossible."""
    if value is None or not math.isfinite(value):
        return None
    if metric.highest is not None:
        value = min(value, metric.highest)
    return None if metric.refusal(value) else value


def _known(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)


def _row(name: str, **values: Any) -> pa.Table:
    return pa.Table.from_pylist([values], schema=table(name).arrow)


def _encode_cursor(counters: HostCounters) -> str:
    body = asdict(counters)
    if body["java"]:
        del body["java"]["new"]
    return json.dumps({"version": CURSOR_VERSION, **body}, separators=(",", ":"))


def _decode_cursor(cursor: str | None) -> HostCounters | None:
    """The counters in a cursor; None for one that is absent, invalid or of another version."""
    try:
        body = json.loads(cursor or "")
        if body["version"] != CURSOR_VERSION:
            return None
        return HostCounters(
            at=_number(body["at"]),
            booted_at=_number(body["booted_at"]),
            cpu_s={name: _number(value) for name, value in body["cpu_s"].items()},
            links={name: (int(a), int(b)) for name, (a, b) in body["links"].items()},
            java=_decode_scan(body["java"]),
            devices=_decode_devices(body.get("devices")),
        )
    except (
        ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError
    ):  # fmt: skip
        return None


def _decode_scan(body: Any) -> JavaScan | None:
    if body is None:
        return None
    used = body["used_pct"]
    cpu_s = {name: _number(value) for name, value in body["cpu_s"].items()}
    return JavaScan(_number(body["at"]), cpu_s, used_pct=None if used is None else _number(used))


def _decode_devices(body: Any) -> DeviceFacts:
    """What was stated; nothing in a cursor of an earlier release."""
    known = body if isinstance(body, dict) else {}
    texts = (known.get(name) for name in ("volume", "links"))
    return DeviceFacts(*(text if isinstance(text, str) else None for text in texts))


def _number(value: Any) -> float:
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is not a finite number")
    return float(value)
