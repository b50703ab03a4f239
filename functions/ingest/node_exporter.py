"""Series of Prometheus's node_exporter to samples of a server.

`add_series` takes decoded series, pushed or queried; `row_assembly` makes rows of the samples.
"""

from collections.abc import Callable, Iterable, Mapping

from functions.ingest.partial_samples import Part, PartialSamples
from functions.ingest.server_label import INSTANCE
from functions.normalize.counted_devices import volume_item
from functions.normalize.devices import STOCK_RULES, DeviceRules
from storage.model.names import server_name

__all__ = ["NAMES", "add_series"]

MAX_CPU_CHARS = 64  # of the labels cpu and mode: "1023 softirq"

Labels = Mapping[str, str]
PartOf = Callable[[Labels, DeviceRules], Part | None]


def _always(kind: str) -> PartOf:
    return lambda *_: (kind, "")


def _cpu(labels: Labels, _: DeviceRules) -> Part | None:
    cpu, mode = labels.get("cpu"), labels.get("mode")
    known = cpu and mode and len(cpu) + len(mode) <= MAX_CPU_CHARS
    return ("cpu_s", f"{cpu} {mode}") if known else None


def _volume(kind: str) -> PartOf:
    def part(labels: Labels, rules: DeviceRules) -> Part | None:
        device, mount = labels.get("device", ""), labels.get("mountpoint", "")
        layer = rules.volume(labels.get("fstype", ""), mount, device)
        return None if layer is None else (kind, volume_item(layer, device, mount))

    return part


def _link(kind: str, label: str = "device") -> PartOf:
    def part(labels: Labels, rules: DeviceRules) -> Part | None:
        name = labels.get(label, "")
        return None if not name or rules.link(name) is None else (kind, name)

    return part


def _connections(labels: Labels, _: DeviceRules) -> Part | None:
    # The series does not say which end waits.
    return ("back_close_wait", "") if labels.get("state") == "close_wait" else None


SERIES: Mapping[str, PartOf] = {
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
    "node_network_iface_id": _link("link_id"),
    "node_network_iface_link": _link("link_below"),
    "node_network_protocol_type": _link("link_type"),
    "node_bonding_slaves": _link("bond_members", label="master"),
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
    rules: DeviceRules = STOCK_RULES,
    server: str | None = None,
) -> bool:
    """Add one series with `timestamps` in microseconds since 1970; return False if it is not used.

    The `server` is the host of `instance` if no other is given. NaN is left out: Prometheus marks
    the end of a series with it.
    """
    find = SERIES.get(name)
    server = server or server_name(INSTANCE.name(labels))
    part = find(labels, rules) if find and server else None
    if part is None or server is None:
        return False
    known = [(m, v) for m, v in zip(timestamps, values, strict=True) if v == v]
    if known:
        mine = readings.column(server, part)
        mine[0].extend(ts for ts, _ in known)
        mine[1].extend(value for _, value in known)
    return True
