"""The host of a label, and one spelling for each IPv6 address."""

import pytest

from storage.model.addresses import canonical_address, host_of


@pytest.mark.parametrize(
    ("label", "host"),
    [
        ("web1:9100", "web1"), ("web1", "web1"), ("[::1]:9100", "::1"), ("fe80::1", "fe80::1"),
        ("web1:http", "web1:http"), ("", ""), ("10.0.0.7:9100", "10.0.0.7"),
        ("10.0.0.7", "10.0.0.7"), ("[::1]", "::1"), ("web1:", "web1:"), (":9100", ":9100"),
        ("web1:99999", "web1:99999"), ("web1:²", "web1:²"),
        ("http://web1:9100/metrics", "http://web1:9100/metrics"),
        # The last group of an address is not a port, whatever it looks like.
        ("2001:db8:0:0:0:0:5:1", "2001:db8::5:1"), ("2001:db8::5:1", "2001:db8::5:1"),
        ("2001:db8::5:9100", "2001:db8::5:9100"),
        ("2001:db8:0:0:0:0:5:1:9100", "2001:db8::5:1"),
        ("[2001:DB8:0::5:1]:9100", "2001:db8::5:1"), ("[2001:db8::5:1]", "2001:db8::5:1"),
        ("[::ffff:10.0.0.7]:9100", "10.0.0.7"), ("[fe80::1%eth0]:9100", "fe80::1%eth0"),
        ("[web1]:9100", "web1"), ("w" * 300 + ":9100", "w" * 300 + ":9100"),
    ],
)  # fmt: skip
def test_the_host_of_a_label_has_no_port_and_keeps_its_address(label: str, host: str) -> None:
    assert host_of(label) == host
    assert host_of(host) == host


@pytest.mark.parametrize(
    "spelling",
    ["2001:db8::5:1", "2001:DB8::5:1", "2001:0db8:0000:0000:0000:0000:0005:0001",
     "2001:db8:0:0::5:1", "[2001:db8::5:1]"],
)  # fmt: skip
def test_all_spellings_of_an_address_are_one(spelling: str) -> None:
    assert canonical_address(spelling) == "2001:db8::5:1"


@pytest.mark.parametrize("name", ["db:5432", "a:b:c", "web1", "12:30:45", "[::1]:80", "::zz"])
def test_a_name_that_is_no_address_stays_as_it_is(name: str) -> None:
    assert canonical_address(name) == name
