from hypothesis import given
from hypothesis import strategies as st

from storage.platform.error_text import MAX_ERROR_CHARS, bounded, bounded_list


def test_a_short_text_stays_as_it_is() -> None:
    assert bounded("short") == "short"


def test_a_long_text_says_how_much_of_it_is_missing() -> None:
    text = bounded("x" * 100_000)
    kept, _, note = text.partition("…")
    assert len(text) <= MAX_ERROR_CHARS
    assert note == f" (cut, {100_000 - len(kept):,} more characters)"


@given(st.integers(0, 10**6))
def test_a_bounded_text_is_not_cut_again(length: int) -> None:
    once = bounded("x" * length)
    assert bounded(once) == once


def test_many_texts_become_few_and_the_last_counts_the_others() -> None:
    texts = bounded_list((str(i) for i in range(100)), 3)
    assert texts == ("0", "1", "… and 98 more reasons")
    assert bounded_list(texts, 3) == texts


def test_what_a_terminal_obeys_is_escaped_and_line_breaks_stay() -> None:
    assert bounded("LINE 1:\n\t^\x1b[2J\u202e\r") == "LINE 1:\n    ^\\x1b[2J\\u202e\\r"
    assert bounded_list(["a\x9b"]) == ("a\\x9b",)
