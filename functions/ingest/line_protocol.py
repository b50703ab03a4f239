"""InfluxDB line protocol: `measurement,tag=value field=1.5,other=2i 1700000000000000000`."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from storage.errors import HoursightError

__all__ = [
    "PRECISIONS",
    "LinePoint",
    "MalformedLine",
    "fields",
    "number",
    "parts",
    "points",
    "series",
    "split",
    "time_of",
]  # fmt: skip

# Nanoseconds in one of them, by the names of both versions of InfluxDB's API.
PRECISIONS = {
    "ns": 1, "n": 1, "us": 1_000, "u": 1_000, "µ": 1_000, "ms": 1_000_000, "s": 1_000_000_000,
    "m": 60_000_000_000, "h": 3_600_000_000_000,
}  # fmt: skip

# A backslash takes the character after it along; what it means there is seen when it is unescaped.
_FIELD = r'(?:\\.|[^=,\\ ])+=(?:"(?:\\.|[^"\\])*"|[^," ]+)'
_LINE = re.compile(rf"((?:\\.|[^ \\])+) +({_FIELD}(?:,{_FIELD})*)(?: +(-?\d+))? *", re.DOTALL)
_HEAD = re.compile(r"(?:\\.|[^ \\])+", re.DOTALL)
_ONE_FIELD = re.compile(r'((?:\\.|[^=,\\ ])+)=("(?:\\.|[^"\\])*"|[^," ]+)', re.DOTALL)
_TAG = re.compile(r"((?:\\.|[^=,\\])+)=((?:\\.|[^=,\\])+)", re.DOTALL)
_BETWEEN_TAGS = re.compile(r"((?:\\.|[^,\\])+)(?:,|\Z)", re.DOTALL)
_ESCAPED = re.compile(r"\\([,= ])")
_ESCAPED_IN_STRING = re.compile(r'\\(["\\])')
_INTEGER = re.compile(r"[+-]?\d+[iu]", re.ASCII)
_TRUE = frozenset({"t", "T", "true", "True", "TRUE"})
_FALSE = frozenset({"f", "F", "false", "False", "FALSE"})
_LAST_OF_FLOAT = frozenset("0123456789.")


class MalformedLine(HoursightError, ValueError):
    """A line that is none; the message says what it should have been."""


class LinePoint(NamedTuple):
    """A line, read; its time [as the precision has it] is None where the line has none."""

    measurement: str
    tags: dict[str, str]
    fields: dict[str, float | int | bool | str]
    time: int | None


def parts(text: str) -> Iterator[str]:
    """The lines of a body without comments and empty ones; a string may hold line feeds."""
    lines = iter(text.split("\n"))
    for line in lines:
        if '"' in line:
            while _ends_in_string(line):
                more = next(lines, None)
                if more is None:
                    break
                line += "\n" + more
        line = line.strip("\r ")
        if line and line[0] != "#":
            yield line


def split(line: str) -> tuple[str, str, str | None]:
    """Series, fields and time of a line, as they stand there. Raises MalformedLine."""
    if "\\" not in line and '"' not in line:
        found = line.split(" ")
        if len(found) == 3:
            return found[0], found[1], found[2]
        if len(found) == 2:
            return found[0], found[1], None
    whole = _LINE.fullmatch(line)
    if whole is None:
        raise MalformedLine(
            "not a line of measurement,tag=value field=value time: one space between the three, "
            "escape others with a backslash"
        )
    return whole[1], whole[2], whole[3]


def series(text: str) -> tuple[str, dict[str, str]]:
    """Measurement and tags of a series. Raises MalformedLine."""
    if "\\" not in text:
        name, *pairs = text.split(",")
        tags = dict(_plain_tag(pair) for pair in pairs)
    else:
        name, *pairs = _BETWEEN_TAGS.findall(text)
        tags = dict(_escaped_tag(pair) for pair in pairs)
    if not name:
        raise MalformedLine("the line does not begin with a measurement")
    return _unescaped(name), tags


def fields(text: str) -> list[tuple[str, str]]:
    """Names and values of fields; values as they stand there. Raises MalformedLine."""
    if '"' in text or "\\" in text:
        return [(_unescaped(name), value) for name, value in _ONE_FIELD.findall(text)]
    found = [(pair[0], pair[2]) for pair in [p.partition("=") for p in text.split(",")]]
    for name, value in found:
        if not name or not value:
            raise MalformedLine(f"{name or value!r} is no field: write name=value")
    return found


def number(text: str) -> float | None:
    """A field's value as a number; None for texts and booleans. Raises MalformedLine."""
    try:
        if text[-1] in _LAST_OF_FLOAT and "_" not in text:
            return float(text)
    except ValueError:
        pass
    value = _value(text)
    return float(value) if type(value) is int else None


def time_of(text: str) -> int:
    """The time of a line. Raises MalformedLine."""
    try:
        if "_" not in text:
            return int(text)
    except ValueError:
        pass
    raise MalformedLine(f"{text!r} is no time: write whole numbers")


def points(text: str) -> Iterator[LinePoint]:
    """All lines of a body, read in full. Raises MalformedLine."""
    for line in parts(text):
        head, body, time = split(line)
        measurement, tags = series(head)
        values = {name: _value(value) for name, value in fields(body)}
        yield LinePoint(measurement, tags, values, None if time is None else time_of(time))


def _value(text: str) -> float | int | bool | str:
    if text[0] == '"':
        return _ESCAPED_IN_STRING.sub(r"\1", text[1:-1])
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INTEGER.fullmatch(text):
        return int(text[:-1])
    if text[-1] in _LAST_OF_FLOAT and "_" not in text:
        try:
            return float(text)
        except ValueError:
            pass
    raise MalformedLine(f'{text!r} is no value: write 1.5, 2i, 3u, true or "text"')


def _plain_tag(pair: str) -> tuple[str, str]:
    name, _, value = pair.partition("=")
    if not name or not value or "=" in value:
        raise MalformedLine(f"{pair!r} is no tag: write name=value")
    return name, value


def _escaped_tag(pair: str) -> tuple[str, str]:
    found = _TAG.fullmatch(pair)
    if found is None:
        raise MalformedLine(f"{pair!r} is no tag: write name=value")
    return _unescaped(found[1]), _unescaped(found[2])


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(r"\1", text) if "\\" in text else text


def _ends_in_string(line: str) -> bool:
    """Whether a string is open at the end of a line; only a field's value begins one."""
    head = _HEAD.match(line)
    inside, at = False, head.end() if head else 0
    while at < len(line):
        if line[at] == "\\":
            at += 2
            continue
        if line[at] == '"' and (inside or line[at - 1] == "="):
            inside = not inside
        at += 1
    return inside
