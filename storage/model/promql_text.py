"""Size of a PromQL expression: its parser ends the process when a deep tree overflows the stack."""

import re

__all__ = ["MAX_BRACKETS", "MAX_CHARS", "MAX_UNQUOTED", "size_problem"]

# A sum of 4,900 terms (9,800 characters) crashes it, one of 3,000 does not. Names of labels and
# patterns are in quotes, and may be long: clients write out whole fleets there.
MAX_CHARS, MAX_UNQUOTED, MAX_BRACKETS = 200_000, 3_000, 60
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|`[^`]*`')


def size_problem(text: str) -> str | None:
    """Return why an expression is not parsed, in words; None: it may be."""
    if len(text) > MAX_CHARS:
        return f"it has {len(text):,} characters, at most {MAX_CHARS:,} are read"
    bare = _QUOTED.sub("", text)
    if len(bare) > MAX_UNQUOTED:
        return (
            f"it has {len(bare):,} characters outside of quotes, at most {MAX_UNQUOTED:,} are read"
        )
    depth = deepest = 0
    for character in bare:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    return f"it nests more than {MAX_BRACKETS} brackets" if deepest > MAX_BRACKETS else None
