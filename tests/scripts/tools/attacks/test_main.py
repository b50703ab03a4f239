"""The attacks that are known, and the probe of the site."""

from scripts.tools.attacks.__main__ import known_attacks


def test_each_attack_has_a_name_of_its_own() -> None:
    names = [(attack.name, attack.door) for attack in known_attacks()]
    assert names
    assert len(set(names)) == len(names)


def test_the_attacks_of_one_module_can_be_chosen() -> None:
    assert {attack.door for attack in known_attacks("processes")} == {"signal"}
    assert list(known_attacks("nothing")) == []
