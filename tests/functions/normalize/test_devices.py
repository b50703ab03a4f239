import pytest

from functions.normalize.devices import IMAGE_FILESYSTEMS, VIRTUAL_LINKS, is_real_link


@pytest.mark.parametrize("name", ["lo", "docker0", "veth1a2b", "br-77", "virbr0", "tun0", "eth0.5"])
def test_virtual_links_are_left_out(name):
    assert not is_real_link(name)


@pytest.mark.parametrize("name", ["eth0", "enp3s0", "wlan0", "ib0", "venet0"])
def test_real_links_are_counted(name):
    assert is_real_link(name)


def test_every_prefix_of_a_virtual_link_is_left_out() -> None:
    assert not any(is_real_link(prefix + "0") for prefix in VIRTUAL_LINKS)


def test_disks_are_not_images() -> None:
    assert IMAGE_FILESYSTEMS.isdisjoint({"ext4", "xfs", "btrfs", "zfs", "ntfs", "apfs"})
