"""Which links and volumes of a machine count: those that are neither virtual nor images."""

__all__ = ["IMAGE_FILESYSTEMS", "VIRTUAL_LINKS", "is_real_link"]

# A link that carries another link's traffic would count it twice.
VIRTUAL_LINKS = (
    "lo", "docker", "veth", "br-", "br0", "br1", "bridge", "virbr", "vnet", "tun", "tap", "utun",
    "wg", "bond", "team", "ifb", "dummy", "cni", "flannel", "cali", "kube", "lxc", "lxd", "vmnet",
    "macvtap", "awdl", "llw", "isatap",
)  # fmt: skip
# Images are full from their first day.
IMAGE_FILESYSTEMS = frozenset({
    "squashfs", "overlay", "tmpfs", "devtmpfs", "iso9660", "udf", "erofs", "cramfs", "romfs",
})  # fmt: skip


def is_real_link(name: str) -> bool:
    """Whether a network link is one of its own, neither loopback nor made of others."""
    return not name.startswith(VIRTUAL_LINKS) and "." not in name
