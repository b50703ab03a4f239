"""Volumes and network links that count: one table for every source, by type first, name last.

Traffic that crosses a machine passes several links: hardware, the bond or bridge on top of it, a
VLAN, a tunnel. Each link has a layer, and those of the lowest layer that a machine has are counted,
so that it counts once. Volumes have layers too: local ones, and where there are none those of the
network, then overlays. Layer None never counts: pseudo file systems, images, loopback, and the ends
of links into containers and virtual machines, with the bridges that have no link to the outside.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache

from storage.config.settings import DevicePatterns, DeviceSettings

__all__ = [
    "ALWAYS", "BRIDGE", "BUNDLE", "HARDWARE", "LOCAL", "NAMED_LIKE_HARDWARE", "NETWORK",
    "NEVER_LINKS", "NEVER_VOLUMES", "OVERLAY", "STOCK_RULES", "TUNNEL", "VIRTUAL_FUNCTION", "VLAN",
    "DeviceRules", "link_layer", "lowest", "volume_layer",
]  # fmt: skip

ALWAYS = -1  # included by the settings
# Layers of links. A virtual link that is named like hardware is that of a container, or of unknown
# make beside hardware. A virtual function carries traffic of the synthetic link above it, which
# counts it as well (Azure).
HARDWARE, NAMED_LIKE_HARDWARE, VIRTUAL_FUNCTION, BUNDLE, VLAN, BRIDGE, TUNNEL = range(7)
# Layers of volumes.
LOCAL, NETWORK, OVERLAY = range(3)

# What a source knows of a link besides its name, and the layer that follows.
_KINDS: Mapping[str, int | None] = {
    "hardware": HARDWARE, "virtual function": VIRTUAL_FUNCTION, "bundle": BUNDLE, "vlan": VLAN,
    "bridge": BRIDGE, "tunnel": TUNNEL, "loopback": None,
}  # fmt: skip

# Regular expressions of whole names, in small letters; valid in RE2 as well, for PromQL.
NEVER_LINKS = (
    "lo[0-9]*", ".*loopback.*", "veth.*", "v[ebt]-.*", "cali.*", "cilium_.*", "lxc[0-9a-f]{6,}.*",
    "lxc_.*", "azv.*", "eni[0-9a-f]{6,}", "gke[0-9a-f]{6,}", "vif[0-9]+[.].*",
    "fw(br|ln|pr)[0-9].*", "tap[0-9]+i[0-9]+", "(tap|qvo|qvb|qbr|qr-|qg-)[0-9a-f]{8}-.*", "ifb.*",
    "imq.*", "dummy.*", "teql.*", "nlmon.*", "bpf(in|out)[.].*", "kube-(ipvs|dummy).*",
    "nodelocaldns", "pod-id-link.*", "docker.*", "podman.*", "nerdctl.*", "cni.*", "virbr.*",
    "(lxd|lxc|incus|mpqemu)br.*", "lxdfan.*", "br-[0-9a-f]{12}", "kube-bridge", "vmnet.*",
    "vmenet.*", "vboxnet.*", "virtualbox host-only.*", "vmware network adapter.*", "pflog.*",
    "pfsync.*", "enc[0-9]", "usbus.*", "pktap.*", "iptap.*", "xhc.*", "anpi.*", "v?can[0-9]+",
    "p2p0", "p2p-.*", "awdl.*", "llw.*", "isatap.*", ".*pseudo-interface.*", "wan miniport.*",
    "bluetooth.*", "local area connection[*].*",
)  # fmt: skip
_TUNNELS = (
    "tun.*", "tap.*", "utun.*", "cscotun.*", "wg.*", "wireguard.*", "tailscale.*", "zt.*", "ppp.*",
    "l2tp.*", "ipsec.*", "xfrm.*", "(ip6?_)?vti.*", "ip6(tnl|gre).*", "sit[0-9].*",
    "gre(tap)?[0-9].*", "erspan.*", "gif[0-9]+", "stf[0-9]+", "6(in4|to4|rd).*", "he-ipv6",
    "vxlan.*", "genev.*", "flannel.*", "antrea-.*", "ovn-.*", "ovpn.*", "openvpn.*", "nordlynx.*",
    "proton.*", "mullvad.*", "netbird.*", "wt[0-9]+", "nebula.*", "vpn.*", "ng[0-9]+", "venet.*",
    "vnet[0-9]+", "epair.*",
)  # fmt: skip
_BUNDLES = ("bond.*", "team.*", "lagg[0-9]+", "trunk[0-9]+")
_VLANS = ("vlan.*", "macvlan.*", "macvtap.*", "ipvlan.*")
_BRIDGES = (
    "br[0-9]*", "br[-_].*", "bridge.*", "[a-z]+br[0-9]+.*", "kube-.*", "weave", "datapath",
    "ovs-.*", "xapi[0-9]+", "vmk[0-9]+", "vethernet.*",
)  # fmt: skip
_LINKS: tuple[tuple[int | None, re.Pattern[str]], ...] = tuple(
    (layer, re.compile("|".join(names)))
    for layer, names in (
        (None, NEVER_LINKS), (TUNNEL, _TUNNELS), (BUNDLE, _BUNDLES), (VLAN, _VLANS),
        (BRIDGE, _BRIDGES),
    )
)  # fmt: skip
# Linux has 15, Windows 256. The patterns take longer than linear time, so their text is bounded.
MAX_LINK_CHARS = 256
MAX_VOLUME_CHARS = 10_000  # of two paths of Linux; what is longer is not kept in the cache
_STACKED = re.compile(r"(.+?)(?:[.].+|_vlan[0-9]+|:[0-9]+)")
_AZURE_FUNCTION = re.compile(r"enP[0-9]+s[0-9]+(np[0-9]+|d[0-9]+)?")

# File systems without a volume of their own behind them, and images, which are always full.
NEVER_VOLUMES = frozenset({
    "autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "cpuset", "debugfs", "devfs",
    "devpts", "devtmpfs", "efivarfs", "fdescfs", "functionfs", "fusectl", "hugetlbfs", "kernfs",
    "linprocfs", "linsysfs", "mqueue", "nfsd", "nsfs", "nullfs", "proc", "procfs", "pstore",
    "ramfs", "resctrl", "rootfs", "rpc_pipefs", "securityfs", "selinuxfs", "smackfs", "sysfs",
    "tmpfs", "tracefs", "fuse.gvfsd-fuse", "fuse.lxcfs", "fuse.portal", "cd9660", "cdfs", "cramfs",
    "erofs", "fuse.snapfuse", "fuse.squashfuse", "fuse.squashfuse_ll", "iso9660", "romfs",
    "snapfuse", "squashfs", "squashfuse", "udf",
})  # fmt: skip
_NETWORK = frozenset({
    "9p", "afpfs", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "drvfs", "fuse", "fusefs",
    "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "orangefs", "panfs", "prl_fs", "smb2",
    "smb3", "smbfs", "vboxsf", "virtiofs", "vmhgfs", "webdav", "wekafs",
})  # fmt: skip
_OVERLAYS = frozenset({"aufs", "overlay", "overlayfs", "unionfs"})
_PSEUDO_MOUNT = re.compile(
    r"/(snap|var/lib/snapd/snap|dev|proc|sys)(/.*)?"
    r"|/System/Volumes/(?!Data(/|$)).*|/private/var/vm|/etc/pve"
)


def link_layer(name: str, kind: str = "") -> int | None:
    """The layer of a link; None if it never counts.

    `kind` is what the source knows: a key of the table above, "virtual" for a link that is known
    not to be hardware, or nothing. A name of more than MAX_LINK_CHARS is not one of a link.
    """
    if len(name) > MAX_LINK_CHARS:
        return None
    return _link_layer(name, kind)


@lru_cache(20_000)
def _link_layer(name: str, kind: str) -> int | None:
    by_name = _layer_by_name(name)
    if kind == "virtual":
        return NAMED_LIKE_HARDWARE if by_name == HARDWARE else by_name
    if kind == "tunnel" and by_name is None:
        return None
    return _KINDS.get(kind, by_name)


def _layer_by_name(name: str) -> int | None:
    layer, base = _listed_layer(name), _base_of(name)
    if base is None or layer is None or layer == TUNNEL:  # flannel.1 and vif1.0 are no VLANs
        return layer
    below = _listed_layer(base)
    return None if below is None else max(below, VLAN)


def _listed_layer(name: str) -> int | None:
    if _AZURE_FUNCTION.fullmatch(name):
        return VIRTUAL_FUNCTION
    lower = name.lower()
    return next((layer for layer, names in _LINKS if names.fullmatch(lower)), HARDWARE)


def _base_of(name: str) -> str | None:
    """The link of which another is a VLAN or an alias: eth0 of eth0.100."""
    return _stacked_on(name) if len(name) <= MAX_LINK_CHARS else None


@lru_cache(20_000)
def _stacked_on(name: str) -> str | None:
    match = _STACKED.fullmatch(name)
    return match[1] if match else None


def volume_layer(fstype: str, mount: str, device: str = "") -> int | None:
    """The layer of a volume; None if it never counts. What is not known of it is empty."""
    long = len(fstype) + len(mount) + len(device) > MAX_VOLUME_CHARS
    layer = _volume_layer.__wrapped__ if long else _volume_layer
    return layer(fstype, mount, device)


@lru_cache(10_000)
def _volume_layer(fstype: str, mount: str, device: str) -> int | None:
    kind = fstype.lower()
    if kind in NEVER_VOLUMES or device == "/dev/fuse" or _PSEUDO_MOUNT.fullmatch(mount):
        return None
    if kind in _OVERLAYS:
        return OVERLAY
    return NETWORK if kind in _NETWORK or kind.startswith("fuse.") else LOCAL


@dataclass(frozen=True)
class DeviceRules:
    """The table, and before it the patterns of the settings."""

    settings: DeviceSettings

    def link(self, name: str, kind: str = "") -> int | None:
        """The layer of a link; None if it does not count."""
        return _decided(self.settings.links, (name,), link_layer(name, kind))

    def links(self, kinds: Mapping[str, str]) -> frozenset[str]:
        """Of the links of one machine, by name and kind, those whose traffic is counted."""
        layers = {name: self.link(name, kind) for name, kind in kinds.items()}
        for name, layer in layers.items():
            if layer != ALWAYS and layers.get(_base_of(name) or "") is not None:
                layers[name] = None
        return lowest(layers)

    def volume(
        self, fstype: str, mount: str, device: str = "", read_only: bool = False
    ) -> int | None:
        """The layer of a volume; None if it does not count, as a read-only one, never fuller."""
        layer = None if read_only else volume_layer(fstype, mount, device)
        return _decided(self.settings.volumes, (mount, device, fstype), layer)


STOCK_RULES = DeviceRules(DeviceSettings())


def lowest(layers: Mapping[str, int | None]) -> frozenset[str]:
    """Names of the lowest layer that there is, and those that the settings include."""
    known = {name: layer for name, layer in layers.items() if layer is not None}
    first = min((layer for layer in known.values() if layer != ALWAYS), default=ALWAYS)
    return frozenset(name for name, layer in known.items() if layer in (ALWAYS, first))


def _decided(patterns: DevicePatterns, names: Iterable[str], layer: int | None) -> int | None:
    if not patterns.exclude and not patterns.include:
        return layer
    lower = [name.lower() for name in names if name]
    if _match(lower, patterns.exclude):
        return None
    return ALWAYS if _match(lower, patterns.include) else layer


def _match(names: Iterable[str], patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern.lower()) for name in names for pattern in patterns)
