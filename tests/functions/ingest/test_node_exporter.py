"""Series of node_exporter: which are used, and as which part of a server."""

import math

import pytest

from functions.ingest.node_exporter import NAMES, add_series
from functions.ingest.partial_samples import Part, PartialSamples


def parts_of(name: str, **labels: str) -> list[Part]:
    samples = PartialSamples()
    add_series(samples, name, {"instance": "a:9100", **labels}, [1], [2.0])
    return list(samples.servers.get("a", {}))


@pytest.mark.parametrize(
    ("name", "labels", "part"),
    [
        ("node_load1", {}, ("load_average", "")),
        ("node_cpu_seconds_total", {"cpu": "3", "mode": "user"}, ("cpu_s", "3 user")),
        ("node_network_receive_bytes_total", {"device": "eth0"}, ("net_in_bytes", "eth0")),
        (
            "node_filesystem_avail_bytes",
            {"device": "sda1", "mountpoint": "/", "fstype": "ext4"},
            ("fs_avail", "sda1 /"),
        ),
        ("node_tcp_connection_states", {"state": "close_wait"}, ("back_close_wait", "")),
    ],
)
def test_a_series_becomes_a_part_of_its_server(
    name: str, labels: dict[str, str], part: Part
) -> None:
    assert parts_of(name, **labels) == [part]


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("node_network_receive_bytes_total", {"device": "docker0"}),
        ("node_filesystem_size_bytes", {"device": "loop0", "fstype": "squashfs"}),
        ("node_tcp_connection_states", {"state": "established"}),
        ("node_cpu_seconds_total", {"cpu": "0"}),
        ("go_goroutines", {}),
    ],
)
def test_virtual_links_images_and_other_series_are_left_out(
    name: str, labels: dict[str, str]
) -> None:
    assert parts_of(name, **labels) == []


def test_the_nan_at_the_end_of_a_series_is_left_out() -> None:
    samples = PartialSamples()
    assert add_series(samples, "node_load1", {"instance": "a"}, [1, 2], [0.5, math.nan])
    assert samples.servers["a"]["load_average", ""] == ([1], [0.5])


@pytest.mark.parametrize("instance", ["", " ", "a\x00b:9100"])
def test_a_series_without_a_valid_name_is_not_used(instance: str) -> None:
    samples = PartialSamples()
    assert not add_series(samples, "node_load1", {"instance": instance}, [1], [1.0])
    assert not samples


def test_each_name_is_listed_once() -> None:
    assert len(NAMES) == len(set(NAMES))
