"""Attacks by words: what counts as obeyed by a terminal."""

from scripts.tools.attacks.words import HOSTILE, _obeyed


def test_an_output_with_any_of_the_hostile_characters_is_obeyed() -> None:
    assert _obeyed(HOSTILE) == {"\x1b", "\x07", "\x9b", "\u202e"}
    assert _obeyed("ok  writer: last commit 0 s ago\n→ Zürich 60 %\n") == set()
