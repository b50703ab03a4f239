"""Network links and file systems that count: neither virtual nor images."""

__all__ = ["IMAGE_FILESYSTEMS", "VIRTUAL_LINKS", "is_real_link"]

# Prefixes of links that carry the traffic of other links, which would count twice.
VIRTUAL_LINKS = (
    "lo", "docker", "veth", "br-", "br0", "br1", "bridge", "virbr", "vnet", "tun", "tap", "utun",
    "wg", "bond", "team", "ifb", "dummy", "cni", "flannel", "cali", "kube", "lxc", "lxd", "vmnet",
    "macvtap", "awdl", "llw", "isatap",
)  # fmt: skip
# Images are always full.
IMAGE_FILESYSTEMS = frozenset({
    "squashfs", "overlay", "tmpfs", "devtmpfs", "iso9660", "udf", "erofs", "cramfs", "romfs",
})  # fmt: skip


def is_real_link(name: str) -> bool:
    """Return True if a network link is neither loopback nor made of other links."""
    return not name.startswith(VIRTUAL_LINKS) and "." not in name
