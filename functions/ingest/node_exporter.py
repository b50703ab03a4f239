"""Series of Prometheus's node_exporter to samples of a server.

`add_series` takes decoded series, pushed or queried; `row_assembly` makes rows of the samples.
"""

from collections.abc import Callable, Iterable, Mapping

from functions.ingest.partial_samples import Part, PartialSamples
from functions.ingest.server_label import INSTANCE
from functions.normalize.devices import IMAGE_FILESYSTEMS, is_real_link
from storage.model.names import server_name

__all__ = ["NAMES", "add_series"]

Labels = Mapping[str, str]


def _always(kind: str) -> Callable[[Labels], Part]:
    return lambda _: (kind, "")


def _cpu(labels: Labels) -> Part | None:
    cpu, mode = labels.get("cpu"), labels.get("mode")
    return ("cpu_s", f"{cpu} {mode}") if cpu and mode else None


def _volume(kind: str) -> Callable[[Labels], Part | None]:
    def part(labels: Labels) -> Part | None:
        if labels.get("fstype") in IMAGE_FILESYSTEMS:
            return None
        return kind, f"{labels.get('device', '')} {labels.get('mountpoint', '')}"

    return part


def _link(kind: str) -> Callable[[Labels], Part | None]:
    def part(labels: Labels) -> Part | None:
        device = labels.get("device", "")
        return (kind, device) if device and is_real_link(device) else None

    return part


def _connections(labels: Labels) -> Part | None:
    # The series does not say which end waits.
    return ("back_close_wait", "") if labels.get("state") == "close_wait" else None


SERIES: Mapping[str, Callable[[Labels], Part | None]] = {
    "node_cpu_seconds_total": _cpu,
    "node_memory_MemTotal_bytes": _always("mem_total"),
    "node_memory_MemAvailable_bytes": _always("mem_available"),
    "node_memory_SwapTotal_bytes": _always("swap_total"),
    "node_memory_SwapFree_bytes": _always("swap_free"),
    "node_filesystem_size_bytes": _volume("fs_size"),
    "node_filesystem_free_bytes": _volume("fs_free"),
    "node_filesystem_avail_bytes": _volume("fs_avail"),
    "node_filesystem_readonly": _volume("fs_readonly"),
    "node_network_receive_bytes_total": _link("net_in_bytes"),
    "node_network_transmit_bytes_total": _link("net_out_bytes"),
    "node_load1": _always("load_average"),
    "node_boot_time_seconds": _always("booted_at_s"),
    "node_tcp_connection_states": _connections,
}

# All other series are left out.
NAMES = tuple(SERIES)


def add_series(
    readings: PartialSamples,
    name: str,
    labels: Labels,
    timestamps: Iterable[int],
    values: Iterable[float],
    server: str | None = None,
) -> bool:
    """Add one series with `timestamps` in microseconds since 1970; return False if it is not used.

    The `server` is the host of `instance` if no other is given. NaN is left out: Prometheus marks
    the end of a series with it.
    """
    find = SERIES.get(name)
    server = server or server_name(INSTANCE.name(labels))
    part = find(labels) if find and server else None
    if part is None or server is None:
        return False
    known = [(m, v) for m, v in zip(timestamps, values, strict=True) if v == v]
    if known:
        mine = readings.column(server, part)
        mine[0].extend(ts for ts, _ in known)
        mine[1].extend(value for _, value in known)
    return True
