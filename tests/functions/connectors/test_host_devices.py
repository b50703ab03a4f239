"""Volumes and links of this host: their types as Linux knows them, and the table."""

from collections import namedtuple
from pathlib import Path

import psutil
import pytest

from functions.connectors.host_devices import link_kind, read_links, real_volumes
from functions.normalize.devices import STOCK_RULES, DeviceRules
from storage.config.settings import DevicePatterns, DeviceSettings

Part = namedtuple("Part", "device mountpoint fstype opts")
Traffic = namedtuple("Traffic", "bytes_recv bytes_sent")


def net_class(folder: Path, *entries: str) -> Path:
    """A copy of /sys/class/net with links of type Ethernet and the entries LINK/NAME."""
    for entry in entries:
        (folder / entry).mkdir(parents=True, exist_ok=True)
        (folder / entry).parent.joinpath("type").write_text("1\n")
    return folder


def test_images_and_read_only_mounts_do_not_count_and_a_device_counts_once() -> None:
    parts = [
        Part("/dev/sda1", "/", "ext4", "rw,relatime"),
        Part("/dev/sda1", "/srv/again", "ext4", "rw,bind"),
        Part("/dev/loop3", "/snap/core", "squashfs", "ro"),
        Part("/dev/sdb1", "/usr", "ext4", "ro,nodev"),
        Part("/dev/sdc1", "/data", "xfs", "rw,errors=remount-ro"),
    ]
    assert real_volumes(parts) == ["/", "/data"]


def test_volumes_of_the_network_count_where_there_is_no_other_or_by_the_settings() -> None:
    share, root = Part("nas:/", "/nas", "nfs4", "rw"), Part("sda1", "/", "ext4", "rw")
    assert real_volumes([share]) == ["/nas"]
    assert real_volumes([share, root]) == ["/"]
    both = DeviceRules(DeviceSettings(volumes=DevicePatterns(include=["nfs*"])))
    assert real_volumes([share, root], both) == ["/nas", "/"]


@pytest.mark.parametrize(
    ("entries", "kind"),
    [
        (["x/device"], "hardware"), (["x/bonding"], "bundle"), (["x/bridge"], "bridge"),
        (["x/tun_flags"], "tunnel"), (["x/queues"], "virtual"),
        (["x/device", "x/master/device"], "virtual function"),
        (["x/device", "x/master/bonding"], "hardware"), ([], ""),
    ],
)  # fmt: skip
def test_linux_says_what_a_link_is(tmp_path: Path, entries: list[str], kind: str) -> None:
    assert link_kind(net_class(tmp_path, *entries) / "x") == kind


def test_vlans_and_loopback_are_known_by_their_type(tmp_path: Path) -> None:
    net_class(tmp_path, "storage/queues", "lo/queues")
    (tmp_path / "storage" / "uevent").write_text("DEVTYPE=vlan\nINTERFACE=storage\n")
    (tmp_path / "lo" / "type").write_text("772\n")
    assert link_kind(tmp_path / "storage") == "vlan"
    assert link_kind(tmp_path / "lo") == "loopback"


def test_links_are_counted_by_type_whatever_their_names_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = net_class(
        tmp_path, "left/device", "right/device", "uplink/bonding", "lan/bridge", "office/tun_flags",
        "veth1/queues", "storage/queues",
    )  # fmt: skip
    links = {path.name: Traffic(5, 7) for path in folder.iterdir()}
    monkeypatch.setattr(psutil, "net_io_counters", lambda **_: links)
    assert read_links(STOCK_RULES, folder) == {"left": (5, 7), "right": (5, 7)}


def test_this_machine_has_links_that_count() -> None:
    assert read_links(STOCK_RULES)
