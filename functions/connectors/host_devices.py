"""Volumes and network links of this host that count, by their types as the system knows them."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import psutil

from functions.normalize.devices import LOCAL, STOCK_RULES, DeviceRules, lowest

__all__ = ["link_kind", "read_fullness", "read_links", "real_volumes"]

NET_CLASS = Path("/sys/class/net")
LOOPBACK = "772"  # ARPHRD_LOOPBACK


def read_links(rules: DeviceRules, net_class: Path = NET_CLASS) -> dict[str, tuple[int, int]]:
    """Bytes received and sent by each link that counts. Raises OSError or psutil.Error."""
    links = psutil.net_io_counters(pernic=True)
    candidates = [name for name in links if rules.link(name) is not None]
    counted = rules.links({name: link_kind(net_class / name) for name in candidates})
    return {name: (links[name].bytes_recv, links[name].bytes_sent) for name in counted}


def link_kind(link: Path) -> str:
    """The kind of a link as `devices.link_layer` takes it, from its folder in /sys/class/net.

    Empty where there is no such folder, as on systems other than Linux.
    """
    if not link.is_dir():
        return ""
    if _text(link / "type") == LOOPBACK:
        return "loopback"
    for name, kind in (("bonding", "bundle"), ("bridge", "bridge"), ("tun_flags", "tunnel")):
        if (link / name).exists():
            return kind
    if "DEVTYPE=vlan" in _text(link / "uevent").split():
        return "vlan"
    if not (link / "device").exists():
        return "virtual"
    # The link above a virtual function of Azure is a device as well, and counts its traffic.
    return "virtual function" if (link / "master" / "device").exists() else "hardware"


def read_fullness(rules: DeviceRules) -> dict[str, float]:
    """Percent used of each volume that counts, by mount point. Raises OSError or psutil.Error."""
    partitions = psutil.disk_partitions()
    if rules.settings.volumes.include or not _has_local(partitions, rules):
        partitions = psutil.disk_partitions(all=True)
    shares: dict[str, float] = {}
    for mount in real_volumes(partitions, rules) or ["/"]:
        try:
            shares[mount] = float(psutil.disk_usage(mount).percent)
        except OSError:  # one that went away, or that this user must not see
            continue
    return shares


def real_volumes(partitions: Iterable[Any], rules: DeviceRules = STOCK_RULES) -> list[str]:
    """The mount points of the volumes that count, one for each device."""
    by_device: dict[str, tuple[str, int]] = {}
    for part in partitions:
        layer = _layer(part, rules)
        if layer is not None:
            by_device.setdefault(part.device, (part.mountpoint, layer))
    layers: Mapping[str, int | None] = dict(by_device.values())
    counted = lowest(layers)
    return [mount for mount in layers if mount in counted]


def _has_local(partitions: Iterable[Any], rules: DeviceRules) -> bool:
    return any(_layer(part, rules) == LOCAL for part in partitions)


def _layer(part: Any, rules: DeviceRules) -> int | None:
    read_only = "ro" in part.opts.split(",")
    return rules.volume(part.fstype, part.mountpoint, part.device, read_only)


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
