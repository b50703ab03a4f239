"""Documents of links and volumes: which count, server by server."""

import numpy as np

from functions.normalize.mapped_devices import MappedDevices

TIMES = np.zeros(4, np.int64)
NAN = float("nan")


def test_links_count_by_server() -> None:
    devices = MappedDevices()
    servers, names = ["a", "a", "b", "b"], ["eth0", "br0", "br0", None]
    present = np.array([True, True, True, True])
    assert devices.links(servers, names, TIMES, present).tolist() == [True, False, True, False]
    assert (devices.facts("a").links, devices.facts("b").links) == ("eth0", "br0")


def test_a_link_without_a_value_is_not_there() -> None:
    present = np.array([False, True])
    mask = MappedDevices().links(["a", "a"], ["eth0", "br0"], TIMES[:2], present)
    assert mask.tolist() == [False, True]


def test_volumes_count_by_type_and_the_fullest_is_stated() -> None:
    devices = MappedDevices()
    servers, mounts = ["a"] * 4, ["/", "/snap/core/1", "/data", "/nas"]
    fullness = np.array([0.4, 1.0, 0.7, 0.9])
    mask = devices.volumes(servers, mounts, ["ext4", "squashfs", None, "nfs4"], TIMES, fullness)
    assert mask.tolist() == [True, False, True, False]
    devices.state_fullest(servers, mounts, np.where(mask, 100 * fullness, NAN))
    assert devices.facts("a").volume == "/data"


def test_nothing_is_stated_of_a_server_without_devices() -> None:
    assert MappedDevices().facts("a").volume is None
