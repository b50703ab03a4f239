"""What is stated of the devices that count: on changes, and without taking turns."""

from functions.normalize.device_facts import DeviceFacts, listed


def test_the_fullest_volume_is_stated_once() -> None:
    facts = DeviceFacts()
    assert facts.update({"/": 40.0, "/var": 70.0}, ["eth0"])
    assert (facts.volume, facts.links) == ("/var", "eth0")
    assert not facts.update({"/": 41.0, "/var": 70.0}, ["eth0"])


def test_two_volumes_of_about_the_same_fullness_do_not_take_turns() -> None:
    facts = DeviceFacts("/var", None)
    assert not facts.update({"/": 70.9, "/var": 70.0}, [])
    assert facts.update({"/": 71.1, "/var": 70.0}, [])
    assert facts.volume == "/"


def test_a_volume_that_is_gone_gives_way() -> None:
    facts = DeviceFacts("/mnt", None)
    assert facts.update({"/": 5.0}, [])
    assert facts.volume == "/"


def test_a_part_without_devices_changes_nothing() -> None:
    facts = DeviceFacts("/", "eth0")
    assert not facts.update({}, [])
    assert (facts.volume, facts.links) == ("/", "eth0")


def test_many_or_long_names_are_shortened() -> None:
    text = "eth0, eth1, eth2, eth3, eth4, eth5, eth6, eth7 and 1 more"
    assert listed(f"eth{i}" for i in range(9)) == text
    assert len(listed(["x" * 1000])) == 100
