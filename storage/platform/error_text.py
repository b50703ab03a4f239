"""Limits on error texts: foreign programs write them at any length, and for any terminal."""

from collections.abc import Iterable

from storage.platform.printable import printable

__all__ = ["MAX_ERROR_CHARS", "MAX_REASONS", "bounded", "bounded_list"]

MAX_ERROR_CHARS = 2_000
MAX_REASONS = 50
# Room for the note at the end, so that a bounded text is not cut again.
_NOTE_CHARS = 48


def bounded(text: str, most_chars: int = MAX_ERROR_CHARS) -> str:
    """Return `text` with at most `most_chars` characters; its end says how many were cut.

    Beside line breaks, what does not print is escaped.
    """
    text = "\n".join(printable(line) for line in text.expandtabs(4).split("\n"))
    if len(text) <= most_chars:
        return text
    kept = text[: most_chars - _NOTE_CHARS]
    return f"{kept}… (cut, {len(text) - len(kept):,} more characters)"


def bounded_list(texts: Iterable[str], most: int = MAX_REASONS) -> tuple[str, ...]:
    """Return at most `most` of the texts, each bounded; the last says how many were left out."""
    texts = tuple(texts)
    if len(texts) > most:
        texts = (*texts[: most - 1], f"… and {len(texts) - most + 1:,} more reasons")
    return tuple(bounded(text) for text in texts)
