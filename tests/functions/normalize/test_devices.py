"""Which volumes and links count, from listings of the machines that people monitor."""

import re

import pytest

from functions.normalize import devices
from functions.normalize.devices import (
    BRIDGE,
    BUNDLE,
    HARDWARE,
    NEVER_LINKS,
    STOCK_RULES,
    TUNNEL,
    VLAN,
    DeviceRules,
    link_layer,
    lowest,
    volume_layer,
)
from storage.config.settings import DevicePatterns, DeviceSettings

# The links of one machine, and those of them whose traffic is counted.
LINKS = {
    "a Debian server": ("lo enp3s0", "enp3s0"),
    "Debian with old names": ("lo eth0 eth1 eth0:1", "eth0 eth1"),
    "a bond with its members and VLANs": ("lo eno1 eno2 bond0 bond0.100 bond0.200", "eno1 eno2"),
    "a bond alone": ("lo bond0 bond0.100", "bond0"),
    "a VLAN and the link below it": ("lo eth0 eth0.100 vlan200", "eth0"),
    "a VLAN alone": ("lo eth0.100", "eth0.100"),
    "Ubuntu with LXD and libvirt": ("lo eno5 wlp4s0 lxdbr0 virbr0 vnet0 vethd7a1", "eno5 wlp4s0"),
    "a Docker host": ("lo ens5 docker0 docker_gwbridge br-6f2e3ac01b7d veth9f0a1b2", "ens5"),
    "Podman and nerdctl": ("lo ens18 podman0 cni-podman0 nerdctl0 br-77c1a0d9e2f3 veth0", "ens18"),
    "Proxmox": (
        "lo eno1 eno2 vmbr0 vmbr0.10 vmbr0v20 vmbr1 fwbr100i0 fwln100i0 fwpr100p0 tap100i0 "
        "veth101i0 bond0", "eno1 eno2",
    ),
    "Proxmox of which only bridges are sent": ("lo vmbr0 vmbr0.10 tap100i0", "vmbr0"),
    "Kubernetes with Calico": (
        "lo ens192 cali0a1b2c3d4e5 tunl0 vxlan.calico wireguard.cali kube-ipvs0 nodelocaldns",
        "ens192",
    ),
    "Kubernetes with Cilium": (
        "lo eth0 cilium_host cilium_net cilium_vxlan lxc8c27d1f0a9b3 lxc_health", "eth0",
    ),
    "Kubernetes on AWS": ("lo eth0 eth1 eni9f8e7d6c5b4 eni1b1c2d3e4f5 pod-id-link0", "eth0 eth1"),
    "Kubernetes on AWS, by systemd": ("lo ens5 ens6 eni9f8e7d6c5b4", "ens5 ens6"),
    "Kubernetes on Azure": ("lo eth0 enP53091s1np0 azv1a2b3c4d5e6", "eth0"),
    "Kubernetes on Google": ("lo ens4 gke52d0f3a1c2b cilium_wg0", "ens4"),
    "k3s with flannel": ("lo enp1s0 cni0 flannel.1 flannel-v6.1 veth1f", "enp1s0"),
    "OVN and Open vSwitch": ("lo eno1 ovs-system br-int br-ex ovn-k8s-mp0 genev_sys_6081", "eno1"),
    "an OpenStack compute node": (
        "lo eno1 tap1a2b3c4d-5e qvo1a2b3c4d-5e qvb1a2b3c4d-5e qbr1a2b3c4d-5e vxlan_sys_4789 br-tun",
        "eno1",
    ),
    "a Xen host": ("lo eth0 xenbr0 vif1.0 vif1.0-emu xapi0", "eth0"),
    "VPNs": ("lo eth0 tun0 wg0 wg-office tailscale0 ztabcdef12 ppp0 nordlynx", "eth0"),
    "tunnels of the kernel": ("lo eth0 gre0 gretap0 sit0 ip6tnl0 ip_vti0 vxlan100", "eth0"),
    "a VPS of OpenVZ": ("lo venet0 venet0:0", "venet0"),
    "a VPS with a tunnel": ("lo dummy0 tun0", "tun0"),
    "a container": ("lo eth0", "eth0"),
    "a jail": ("lo0 epair3b", "epair3b"),
    "a Dell server by slots": ("lo em1 em2 p2p1 p2p2", "em1 em2 p2p1 p2p2"),
    "a mainframe": ("lo enc600 enc1000", "enc600 enc1000"),
    "a POWER server": ("lo enP2p1s0f0 enP48p1s0f1", "enP2p1s0f0 enP48p1s0f1"),
    "InfiniBand and mobile": ("lo ib0 wwan0 eth0", "ib0 wwan0 eth0"),
    "pfSense": (
        "lo0 igb0 igb1 igb1.20 igb1_vlan30 lagg0 bridge0 pflog0 pfsync0 enc0 tun_wg0 ovpns1 gif0",
        "igb0 igb1",
    ),
    "FreeBSD in a VM": ("lo0 vtnet0 vlan10 pflog0 tap0 usbus0", "vtnet0"),
    "OPNsense on em": ("lo0 em0 em1 ipsec1 ppp0", "em0 em1"),
    "macOS": (
        "lo0 en0 en1 en5 bridge0 utun0 utun3 awdl0 llw0 gif0 stf0 anpi0 p2p0 pktap0", "en0 en1 en5",
    ),
    "Windows": (
        "Ethernet|Ethernet 2|Wi-Fi|Loopback Pseudo-Interface 1|vEthernet (Default Switch)|"
        "Local Area Connection* 9|Bluetooth Network Connection|VMware Network Adapter VMnet1|"
        "isatap.{1A2B}|Teredo Tunneling Pseudo-Interface", "Ethernet|Ethernet 2|Wi-Fi",
    ),
    "only loopback": ("lo veth12 dummy0", ""),
}  # fmt: skip

# Mount point, file system and device of a machine's volumes, and the mount points that count.
VOLUMES = {
    "a Debian server": (
        "/ ext4 /dev/sda1, /boot/efi vfat /dev/sda2, /dev devtmpfs udev, /run tmpfs tmpfs, "
        "/sys/firmware/efi/efivars efivarfs efivarfs, /proc proc proc, /sys sysfs sysfs, "
        "/sys/fs/bpf bpf bpf, /proc/sys/fs/binfmt_misc autofs systemd-1", "/ /boot/efi",
    ),
    "Ubuntu with snaps": (
        "/ ext4 /dev/sda2, /snap/core22/1 squashfs /dev/loop0, /snap/lxd/9 fuse.snapfuse snapfuse, "
        "/snap/x/1 fuse snapfuse, /var/lib/snapd/snap/y/2 ext4 /dev/loop4, /data xfs /dev/sdb1, "
        "/run/user/1000/gvfs fuse.gvfsd-fuse gvfsd-fuse, /run/user/1000/doc fuse.portal portal",
        "/ /data",
    ),
    "Proxmox": (
        "/ zfs rpool/ROOT/pve-1, /rpool zfs rpool, /etc/pve fuse /dev/fuse, "
        "/var/lib/lxcfs fuse.lxcfs lxcfs, /mnt/pve/nas nfs4 nas:/pve", "/ /rpool",
    ),
    "a Kubernetes node": (
        "/ xfs /dev/nvme0n1p1, /var/lib/kubelet/pods/7/volumes/pvc ext4 /dev/nvme1n1, "
        "/run/containerd/io.containerd/rootfs overlay overlay, /run/netns/cni-1 nsfs nsfs, "
        "/var/lib/kubelet/pods/7/token tmpfs tmpfs",
        "/ /var/lib/kubelet/pods/7/volumes/pvc",
    ),
    "a container": ("/ overlay overlay, /dev/shm tmpfs shm", "/"),
    "a diskless machine": ("/ nfs4 nas:/root, /tmp tmpfs tmpfs", "/"),
    "pfSense on ZFS": ("/ zfs pfSense/ROOT, /dev devfs devfs, /var/run tmpfs tmpfs", "/"),
    "FreeBSD on UFS": (
        "/ ufs /dev/ada0p2, /dev devfs devfs, /dev/fd fdescfs fdescfs, /proc procfs procfs, "
        "/compat/linux/sys linsysfs linsysfs, /jail/a/usr nullfs /usr, /cdrom cd9660 /dev/cd0", "/",
    ),
    "macOS": (
        "/dev devfs devfs, /System/Volumes/VM apfs /dev/disk3s6, /System/Volumes/Preboot apfs "
        "/dev/disk3s2, /System/Volumes/Data apfs /dev/disk3s5, /home autofs auto_home",
        "/System/Volumes/Data",
    ),
    "Windows": ("C: NTFS C:, D: CDFS D:, E: ReFS E:, F: UDF F:", "C: E:"),
    "an image on a stick": ("/ ext4 sda1, /cdrom iso9660 /dev/sr0, /img erofs /dev/loop1", "/"),
    "WSL": ("/ ext4 /dev/sdc, /mnt/c 9p C:, /init rootfs rootfs", "/"),
}  # fmt: skip


@pytest.mark.parametrize(("present", "counted"), LINKS.values(), ids=list(LINKS))
def test_traffic_is_counted_once_over_the_lowest_links(present: str, counted: str) -> None:
    split = (lambda text: text.split("|")) if "|" in present else str.split
    links = dict.fromkeys(split(present), "")
    assert STOCK_RULES.links(links) == frozenset(filter(None, split(counted)))


@pytest.mark.parametrize(("present", "counted"), VOLUMES.values(), ids=list(VOLUMES))
def test_only_volumes_that_can_fill_up_count(present: str, counted: str) -> None:
    volumes = [line.split() for line in present.split(", ")]
    layers = {mount: STOCK_RULES.volume(kind, mount, device) for mount, kind, device in volumes}
    assert lowest(layers) == frozenset(counted.split())


@pytest.mark.parametrize(
    ("name", "kind", "layer"),
    [
        ("uplink", "bundle", BUNDLE), ("storage", "vlan", VLAN), ("lan", "bridge", BRIDGE),
        ("office", "tunnel", TUNNEL), ("br0", "hardware", HARDWARE), ("anything", "loopback", None),
        ("tap100i0", "tunnel", None), ("veth1", "virtual", None),
    ],
)  # fmt: skip
def test_the_type_of_a_link_goes_before_its_name(name: str, kind: str, layer: int | None) -> None:
    assert link_layer(name, kind) == layer


def test_a_virtual_link_with_a_name_of_hardware_comes_after_hardware() -> None:
    kinds = {"eth0": "hardware", "storage": "virtual", "wg0": "virtual"}
    assert STOCK_RULES.links(kinds) == {"eth0"}
    container = {"eth0": "virtual", "docker0": "bridge", "tunl0": "tunnel", "wg0": "virtual"}
    assert STOCK_RULES.links(container) == {"eth0"}


def test_a_vlan_on_a_link_that_is_excluded_counts_instead() -> None:
    rules = DeviceRules(DeviceSettings(links=DevicePatterns(exclude=["eth0"])))
    assert rules.links({"eth0": "", "eth0.100": ""}) == {"eth0.100"}


def test_the_settings_go_before_the_table() -> None:
    links = DevicePatterns(include=["wg*", "docker0"], exclude=["eth1", "wg9"])
    volumes = DevicePatterns(include=["nfs4", "/run"], exclude=["/scratch*", "/dev/sdz*"])
    rules = DeviceRules(DeviceSettings(volumes, links))
    present = dict.fromkeys(("eth0", "eth1", "wg0", "wg9", "docker0", "br0"), "")
    assert rules.links(present) == {"eth0", "wg0", "docker0"}
    layers = {
        mount: rules.volume(kind, mount, device)
        for mount, kind, device in (
            ("/", "ext4", "/dev/sda1"), ("/nas", "nfs4", "nas:/"), ("/run", "tmpfs", "tmpfs"),
            ("/scratch/1", "xfs", "/dev/sdb"), ("/old", "xfs", "/dev/sdz1"), ("/x", "cifs", "//x"),
        )
    }  # fmt: skip
    assert lowest(layers) == {"/", "/nas", "/run"}


def test_a_read_only_volume_counts_only_where_the_settings_include_it() -> None:
    assert STOCK_RULES.volume("ext4", "/usr", read_only=True) is None
    rules = DeviceRules(DeviceSettings(volumes=DevicePatterns(include=["/usr"])))
    assert rules.volume("ext4", "/usr", read_only=True) is not None


def test_names_that_never_count_are_patterns_that_prometheus_can_read() -> None:
    for pattern in NEVER_LINKS:
        assert re.compile(pattern)
        assert not set('\\"') & set(pattern), "would need escapes in PromQL"


def test_a_name_longer_than_any_link_has_is_not_one_and_long_texts_are_not_cached() -> None:
    assert link_layer("eth" + "0" * 300) is None
    assert STOCK_RULES.links({"x." * 200: "", "eth0": ""}) == {"eth0"}
    before = devices._volume_layer.cache_info().currsize
    assert volume_layer("ext4", "/" + "x" * 20_000) == devices.LOCAL
    assert devices._volume_layer.cache_info().currsize == before
