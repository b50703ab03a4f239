"""Fragments with changed rows only: a page names the rows that it shows by digest.

The first table body of a fragment carries the digests of its rows. A page sends them with its next
request; a row that it has already is answered by an empty one that names the digest, and a fragment
that says the same as what the page shows by None. Ages and links to queries do not count: a page
lets its ages grow by itself.
"""

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

__all__ = ["DigestedFragment", "digested"]

DIGEST_CHARS = 10
_ROW = re.compile(r"<tr class=\"[^\"]*\" data-server=.*?</tr>", re.DOTALL)
_BODY = "<tbody>"
_UNCOUNTED = re.compile(
    r"<time [^>]*class=\"age\".*?</time>|<a class=\"how\" [^>]*>", re.DOTALL
)  # fmt: skip
_AGE = re.compile(r"title=\"[^\"]*\"|>[^<]*<")


@dataclass(frozen=True, slots=True)
class DigestedFragment:
    """A fragment in pieces: `parts` are what is around the rows, one more than there are rows."""

    parts: tuple[str, ...]
    rows: tuple[str, ...]
    digests: tuple[str, ...]
    whole: str
    headers: Mapping[str, str]

    def answer(self, shown: Collection[str]) -> str | None:
        """Return the HTML for a page that shows rows and a whole of these digests."""
        if self.whole in shown:
            return None
        pieces = [self.parts[0]]
        for row, digest, part in zip(self.rows, self.digests, self.parts[1:], strict=True):
            pieces += [f'<tr data-kept="{digest}"></tr>' if digest in shown else row, part]
        return "".join(pieces)


def digested(html: str, headers: Mapping[str, str]) -> DigestedFragment:
    """Return a fragment with the digests of its rows in its first table body."""
    rows = tuple(_ROW.findall(html))
    digests = tuple(map(_digest, rows))
    whole = _digest(html)
    marked = html.replace(_BODY, f'<tbody data-rows="{" ".join(digests)}" data-whole="{whole}">', 1)
    return DigestedFragment(tuple(_ROW.split(marked)), rows, digests, whole, headers)


def _digest(html: str) -> str:
    counted = _UNCOUNTED.sub(_kept, html)
    return hashlib.blake2b(counted.encode(), digest_size=DIGEST_CHARS // 2).hexdigest()


def _kept(match: re.Match[str]) -> str:
    """The time of an age without its text; nothing of a link."""
    return "" if match[0].startswith("<a") else _AGE.sub("", match[0])
