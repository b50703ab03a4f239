"""Counted devices: which links and volumes of a server count, by all that it has sent lately.

A push may have a part of them only: without a memory, a bridge would count in a push that lacks
the link below it.
"""

from collections.abc import Callable, Iterable, Mapping
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


class _Devices:
    """Devices by name: what is known of each, when it was sent, and which of them count."""

    def __init__(self) -> None:
        self._seen_us: dict[str, int] = {}
        self._known: dict[str, str] = {}
        self._counted: frozenset[str] | None = None  # None after a change

    def counted(
        self,
        names: Iterable[str],
        kinds: Mapping[str, str],
        at_us: int,
        choose: Callable[[Mapping[str, str]], frozenset[str]],
    ) -> frozenset[str]:
        """Note the devices sent up to a time, and return those that `choose` names of all."""
        for name in names:
            if name not in self._known:
                self._known[name], self._counted = "", None
            self._seen_us[name] = max(at_us, self._seen_us.get(name, at_us))
        for name, kind in kinds.items():
            if self._known.get(name, kind) != kind:
                self._known[name], self._counted = kind, None
        self._forget()
        if self._counted is None:
            self._counted = choose(self._known)
        return self._counted

    def _forget(self) -> None:
        seen = self._seen_us
        if not seen or min(seen.values()) >= (oldest := max(seen.values()) - _REMEMBERED_US):
            return
        for name in [name for name, at_us in seen.items() if at_us < oldest]:
            del seen[name], self._known[name]
            self._counted = None


@dataclass(slots=True)
class DeviceMemory:
    """The devices of a server that it has sent within MAX_GAP_S, and what was stated of them."""

    links: _Devices = field(default_factory=_Devices)
    volumes: _Devices = field(default_factory=_Devices)
    facts: DeviceFacts = field(default_factory=DeviceFacts)

    def counted_links(
        self, names: Iterable[str], kinds: Mapping[str, str], at_us: int, rules: DeviceRules
    ) -> frozenset[str]:
        """Note the links sent up to a time, and return those whose traffic is counted."""
        return self.links.counted(names, kinds, at_us, rules.links)

    def counted_volumes(self, items: Iterable[str], at_us: int) -> frozenset[str]:
        """Note the volumes (see `volume_item`) sent up to a time, and return those that count."""
        return self.volumes.counted(items, {}, at_us, _lowest_volumes)


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


def _lowest_volumes(items: Iterable[str]) -> frozenset[str]:
    return lowest({item: volume_layer_of(item) for item in items})


def volume_layer_of(item: str) -> int:
    """The layer that `volume_item` was given."""
    layer, tab, _ = item.partition("\t")
    return int(layer) if tab else LOCAL


def mount_of(item: str) -> str:
    """The mount point that `volume_item` was given."""
    at = item.find(" /")
    return item[at + 1 :] if at >= 0 else item.rpartition(" ")[2]


def _last_values(columns: Columns) -> dict[str, float]:
    known = {name: column[~np.isnan(column)] for name, column in columns.items()}
    return {name: float(values[-1]) for name, values in known.items() if values.size}
