"""Foreign text for a terminal, a log or JSON: every character that does not print is escaped.

Control characters (ESC, C1, line breaks), those that change the direction of text, and invisible
ones could move the cursor, forge a line or make one name look like another.
"""

__all__ = ["CONTINUED", "printable", "printable_json", "printable_lines"]

CONTINUED = "    | "


def printable(text: str) -> str:
    """Return `text` as one line, unprintable characters as in Python: \\x1b, \\n, \\u202e."""
    return text if text.isprintable() else "".join(_escaped(c) for c in text)


def printable_lines(text: str) -> str:
    """Return `text` with its line breaks, each line after the first marked as continued.

    So none of them looks like a line of its own. Tabs become spaces.
    """
    lines = text.expandtabs(4).splitlines() or [""]
    return f"\n{CONTINUED}".join(printable(line) for line in lines)


def printable_json(text: str) -> str:
    """Return JSON with the unprintable characters of its strings as \\uXXXX: the same JSON."""
    return text if text.isprintable() else "".join(_json_escaped(c) for c in text)


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode()


def _json_escaped(character: str) -> str:
    if character.isprintable():
        return character
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))
