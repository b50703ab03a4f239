"""Counted devices: which links and volumes of a server count, by all that it has sent lately.

A push may have a part of them only: without a memory, a bridge would count in a push that lacks
the link below it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from functions.normalize.counters import MAX_GAP_S
from functions.normalize.device_facts import DeviceFacts
from functions.normalize.devices import ALWAYS, LOCAL, DeviceRules, lowest

__all__ = [
    "LINK_KINDS", "DeviceMemory", "link_kinds", "mount_of", "volume_item",
    "volume_layer_of", "volume_shares",
]  # fmt: skip

Columns = Mapping[str, npt.NDArray[np.float64]]
# Parts that say of what kind a link is, by the names of Linux: ifindex, the ifindex of the link
# below (its own for none, 0 for a tunnel), ARPHRD type, and members of a bond.
LINK_KINDS = ("link_id", "link_below", "link_type", "bond_members")
_ETHERNET, _INFINIBAND, _LOOPBACK = 1, 32, 772
_REMEMBERED_US = int(MAX_GAP_S * 1e6)


@dataclass(slots=True)
class _Device:
    """When a device was last sent, and its kind (of a link) or layer (of a volume)."""

    seen_us: int
    kind: str = ""
    layer: int = LOCAL


@dataclass(slots=True)
class DeviceMemory:
    """The devices of a server that it has sent within MAX_GAP_S, and what was stated of them."""

    links: dict[str, _Device] = field(default_factory=dict)
    volumes: dict[str, _Device] = field(default_factory=dict)
    facts: DeviceFacts = field(default_factory=DeviceFacts)

    def counted_links(
        self, names: Iterable[str], kinds: Mapping[str, str], at_us: int, rules: DeviceRules
    ) -> frozenset[str]:
        """Note the links sent up to a time, and return those whose traffic is counted."""
        for name in names:
            known = self.links.setdefault(name, _Device(at_us))
            known.seen_us = max(known.seen_us, at_us)
        for name, kind in kinds.items():
            if name in self.links:
                self.links[name].kind = kind
        _forget(self.links)
        return rules.links({name: device.kind for name, device in self.links.items()})

    def counted_volumes(self, items: Iterable[str], at_us: int) -> frozenset[str]:
        """Note the volumes (see `volume_item`) sent up to a time, and return those that count."""
        for item in items:
            known = self.volumes.setdefault(item, _Device(at_us, layer=volume_layer_of(item)))
            known.seen_us = max(known.seen_us, at_us)
        _forget(self.volumes)
        return lowest({item: device.layer for item, device in self.volumes.items()})


def link_kinds(kinds: Mapping[str, Columns]) -> dict[str, str]:
    """The kind of each link of which parts of LINK_KINDS were sent, as in `devices.link_layer`."""
    ids, below, types, bonds = (_last_values(kinds.get(part, {})) for part in LINK_KINDS)
    stacked = {name: "virtual" for name, other in below.items() if other != ids.get(name, other)}
    typed = {
        name: "loopback" if kind == _LOOPBACK else "tunnel"
        for name, kind in types.items()
        if kind not in (_ETHERNET, _INFINIBAND)
    }
    return stacked | typed | dict.fromkeys(bonds, "bundle")


def volume_shares(kinds: Mapping[str, Columns]) -> dict[str, npt.NDArray[np.float64]]:
    """The fullness [%] of each volume that can fill up, as df computes it, by its item."""
    shares = dict(kinds.get("volume_used_pct", {}))
    size, free, avail = (kinds.get(part, {}) for part in ("fs_size", "fs_free", "fs_avail"))
    fixed = kinds.get("fs_readonly", {})
    for item in size.keys() & avail.keys():
        read_only = item in fixed and np.nanmax(fixed[item], initial=0) > 0
        if read_only and volume_layer_of(item) != ALWAYS:
            continue
        used = size[item] - free.get(item, avail[item])
        # Less than nothing is left for users where root has begun to use its reserve.
        whole = used + np.maximum(avail[item], 0)
        shares[item] = 100 * np.divide(used, whole, out=np.full(len(used), np.nan), where=whole > 0)
    return shares


def volume_item(layer: int, device: str, mount: str) -> str:
    """The item of a volume's parts; see `mount_of` and `volume_layer_of`."""
    item = f"{device} {mount}".replace("\t", " ")
    return item if layer == LOCAL else f"{layer}\t{item}"


def volume_layer_of(item: str) -> int:
    """The layer that `volume_item` was given."""
    layer, tab, _ = item.partition("\t")
    return int(layer) if tab else LOCAL


def mount_of(item: str) -> str:
    """The mount point that `volume_item` was given."""
    at = item.find(" /")
    return item[at + 1 :] if at >= 0 else item.rpartition(" ")[2]


def _forget(devices: dict[str, _Device]) -> None:
    if devices:
        newest = max(device.seen_us for device in devices.values())
        for name in [n for n, d in devices.items() if d.seen_us < newest - _REMEMBERED_US]:
            del devices[name]


def _last_values(columns: Columns) -> dict[str, float]:
    known = {name: column[~np.isnan(column)] for name, column in columns.items()}
    return {name: float(values[-1]) for name, values in known.items() if values.size}
