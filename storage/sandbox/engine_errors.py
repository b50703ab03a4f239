"""DuckDB's errors, which it writes as JSON or with the line: their message, and where they are."""

import json
import re
from typing import Any

__all__ = ["located", "shifted"]

MAX_MESSAGE = 600  # characters: an error quotes what it is about, which may be long

# A syntax error quotes the line; one that is too long to be quoted whole begins with three dots.
QUOTED_LINE = re.compile(r"\n\nLINE (?P<line>\d+): (?P<text>.*)\n(?P<before> *)\^")
KIND = re.compile(r"^[A-Z][A-Za-z ]* Error: ")


def located(text: str, sql: str) -> tuple[str, int | None]:
    """Return the message of an error, and the character of `sql` that it is about, if known."""
    fields = _fields(text)
    if fields:
        message = str(fields.get("exception_message") or text)
        place = str(fields.get("position"))
        return _short(message), _character(sql, int(place)) if place.isdigit() else None
    match = QUOTED_LINE.search(text)
    message = KIND.sub("", text.partition("\n\nLINE ")[0])
    return _short(message), None if match is None else _quoted_place(match, sql)


def shifted(text: str, by: int) -> str:
    """Return the text of an error with its position, in bytes, moved."""
    fields = _fields(text)
    if not str(fields.get("position")).isdigit():
        return text
    fields["position"] = str(max(0, int(fields["position"]) + by))
    return text.partition("{")[0] + json.dumps(fields)


def _short(message: str) -> str:
    return message if len(message) <= MAX_MESSAGE else f"{message[:MAX_MESSAGE]}…"


def _fields(text: str) -> dict[str, Any]:
    _, brace, rest = text.partition("{")
    try:
        fields = json.loads(brace + rest)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) and "exception_message" in fields else {}


def _character(sql: str, byte: int) -> int:
    return len(sql.encode()[:byte].decode(errors="ignore"))


def _quoted_place(match: re.Match[str], sql: str) -> int | None:
    lines = sql.split("\n")
    number, text = int(match["line"]), match["text"]
    if text.startswith("...") or number > len(lines):
        return None
    column = len(match["before"]) - len(f"LINE {number}: ")
    return sum(len(line) + 1 for line in lines[: number - 1]) + max(0, column)
