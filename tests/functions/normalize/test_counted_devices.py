"""Devices that count, by all that a server has sent lately, and their types in its series."""

import numpy as np
import pytest

from functions.normalize.counted_devices import (
    DeviceMemory,
    link_kinds,
    mount_of,
    volume_item,
    volume_layer_of,
    volume_shares,
)
from functions.normalize.devices import ALWAYS, LOCAL, NETWORK, STOCK_RULES

MINUTE_US = 60_000_000


def counted(memory: DeviceMemory, at_us: int, *names: str) -> set[str]:
    return set(memory.counted_links(names, {}, at_us, STOCK_RULES))


def test_a_bridge_does_not_count_in_a_push_that_lacks_the_link_below() -> None:
    memory = DeviceMemory()
    assert counted(memory, 0, "eth0") == {"eth0"}
    assert counted(memory, MINUTE_US, "br0") == {"eth0"}


def test_a_link_that_is_gone_makes_room_after_ten_minutes() -> None:
    memory = DeviceMemory()
    counted(memory, 0, "eth0", "br0")
    assert counted(memory, 9 * MINUTE_US, "br0") == {"eth0"}
    assert counted(memory, 11 * MINUTE_US, "br0") == {"br0"}


def test_what_comes_late_forgets_nothing() -> None:
    memory = DeviceMemory()
    counted(memory, 60 * MINUTE_US, "eth0")
    assert counted(memory, 0, "br0") == {"eth0"}


def test_a_type_that_was_sent_once_stays_known() -> None:
    memory = DeviceMemory()
    memory.counted_links(["uplink", "eth0"], {"uplink": "bundle"}, 0, STOCK_RULES)
    assert counted(memory, 1, "uplink", "eth0") == {"eth0"}


def test_volumes_of_the_network_wait_for_local_ones() -> None:
    memory = DeviceMemory()
    share, root = volume_item(NETWORK, "nas:/x", "/x"), volume_item(LOCAL, "/dev/sda1", "/")
    assert memory.counted_volumes([share, root], 0) == {root}
    assert memory.counted_volumes([share], MINUTE_US) == {root}
    assert memory.counted_volumes([share], 20 * MINUTE_US) == {share}


@pytest.mark.parametrize("layer", [LOCAL, NETWORK, ALWAYS])
@pytest.mark.parametrize(
    ("device", "mount"),
    [
        ("/dev/sda1", "/"), ("//nas/my share", "/mnt/my share"), ("map auto_home", "/home"),
        ("C:", "C:"), ("", "/data"), ("a\tb", "/x"),
    ],
)  # fmt: skip
def test_an_item_holds_the_mount_point_and_the_layer(layer: int, device: str, mount: str) -> None:
    item = volume_item(layer, device, mount)
    assert (mount_of(item), volume_layer_of(item)) == (mount, layer)


def series(**values: float) -> dict[str, np.ndarray]:
    return {name: np.array([np.nan, value]) for name, value in values.items()}


def test_series_of_node_exporter_say_of_what_kind_a_link_is() -> None:
    kinds = link_kinds({
        "link_id": series(eth0=2, storage=5, wg0=7, lo=1),
        "link_below": series(eth0=2, storage=2, wg0=7, lo=1, veth=9),
        "link_type": series(eth0=1, ib0=32, wg0=65534, ppp=512, lo=772),
        "bond_members": series(uplink=2),
    })  # fmt: skip
    assert kinds == {
        "storage": "virtual", "wg0": "tunnel", "ppp": "tunnel", "lo": "loopback",
        "uplink": "bundle",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("size", "free", "avail", "share"),
    [
        (100, 50, 45, 100 * 50 / 95),  # 5 % are reserved
        (100, 3, -2, 100),  # root uses what is reserved, on FreeBSD
        (100, 90, 40, 20),  # btrfs
        (0, 0, 0, np.nan),
    ],
)
def test_the_fullness_of_a_volume_is_that_of_df(
    size: float, free: float, avail: float, share: float
) -> None:
    parts = {"fs_size": size, "fs_free": free, "fs_avail": avail}
    columns = {part: {"sda1 /": np.array([float(value)])} for part, value in parts.items()}
    assert volume_shares(columns)["sda1 /"] == pytest.approx([share], nan_ok=True)


def test_a_read_only_volume_counts_only_where_the_settings_include_it() -> None:
    always = volume_item(ALWAYS, "sdb1", "/usr")
    one = {item: np.array([1.0]) for item in ("sda1 /", always)}
    columns = dict.fromkeys(("fs_size", "fs_avail", "fs_readonly"), one)
    assert set(volume_shares(columns)) == {always}
