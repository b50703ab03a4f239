"""Regular expressions of users, matched in time that is linear in the text (RE2, as in Arrow).

Python's own engine may try every way to match: with `(a+)+$` each further character of a text that
anybody sends doubles the time.
"""

import re
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["Groups", "check_pattern", "search"]

# Text by the name and, as '1', by the number of each group that matched some text.
Groups = dict[str, str]


def check_pattern(pattern: str) -> re.Pattern[str]:
    """The pattern, with its groups. Raises ValueError where it is not valid in both engines."""
    try:
        known = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"which is not a valid regular expression: {error}") from None
    try:
        pc.match_substring_regex(pa.array([""]), _numbered(pattern))
    except pa.ArrowInvalid as error:
        reason = str(error).removeprefix("Invalid regular expression: ")
        raise ValueError(
            f"which cannot be matched in linear time ({reason}): write it without lookaround and "
            "references to groups"
        ) from None
    return known


def search(pattern: str, texts: Sequence[str]) -> list[Groups | None]:
    """The groups of the first match in each text; None where there is none.

    A group that matched no text, or an empty one, is left out.
    """
    if not texts:
        return []
    names = {f"g{number}": name for name, number in re.compile(pattern).groupindex.items()}
    matches = pc.extract_regex(_strings(texts), f"(?P<g0>{_numbered(pattern)})").to_pylist()
    return [None if match is None else _named(match, names) for match in matches]


def _named(match: dict[str, str], names: dict[str, str]) -> Groups:
    groups = {key: text for key, text in match.items() if key != "g0" and text}
    numbered = {key[1:]: text for key, text in groups.items()}
    return numbered | {names[key]: text for key, text in groups.items() if key in names}


def _strings(texts: Sequence[str]) -> pa.Array:
    try:
        return pa.array(texts, pa.string())
    except UnicodeEncodeError:  # half a pair of surrogates
        return pa.array([text.encode(errors="replace").decode() for text in texts], pa.string())


def _numbered(pattern: str) -> str:
    """The pattern with a name, such as g1, for each of its groups: Arrow has no others."""
    count = 0

    def name(match: re.Match[str]) -> str:
        nonlocal count
        if match["group"] is None:
            return match[0]
        count += 1
        return f"(?P<g{count}>"

    return _TOKEN.sub(name, pattern)


# An escaped character, a class of characters, the begin of a group that is kept, or of another one.
_TOKEN = re.compile(
    r"\\.|\[\^?\]?(?:\\.|[^\]\\])*+\]|(?P<group>\(\?P<\w+>|\((?!\?))|\(\?", re.DOTALL
)
