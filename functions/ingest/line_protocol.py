"""InfluxDB line protocol: `measurement,tag=value field=1.5,other=2i 1700000000000000000`."""

import re
from collections import deque
from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

from storage.errors import HoursightError

__all__ = [
    "PRECISIONS",
    "LinePoint",
    "MalformedLine",
    "TimeRefused",
    "fields",
    "number",
    "parts",
    "points",
    "series",
    "split",
    "time_of",
]  # fmt: skip

BLOCK_CHARS = 1 << 16
MAX_INTEGER_CHARS = 100
MAX_STRING_CHARS = 1 << 16  # as in InfluxDB; only a longer one without line feeds is taken
# Nanoseconds in one of them, by the names of both versions of InfluxDB's API.
PRECISIONS = {
    "ns": 1, "n": 1, "us": 1_000, "u": 1_000, "µ": 1_000, "ms": 1_000_000, "s": 1_000_000_000,
    "m": 60_000_000_000, "h": 3_600_000_000_000,
}  # fmt: skip

# A backslash and the character after it belong together; _unescaped says what they mean. Every
# repetition is possessive (`++`): none goes back, so that the time is linear in the length.
_NAME = r"(?:\\.|[^=,\\ ])++"
_INSIDE = r'(?:\\.|[^"\\])*+'
_FIELD = rf'{_NAME}=(?:"{_INSIDE}"|[^," ]++)'
_TIME = r"(?: ++(-?\d++))? *+"
_LINE = re.compile(rf"((?:\\.|[^ \\])++) ++({_FIELD}(?:,{_FIELD})*+){_TIME}", re.DOTALL)
_ONE_FIELD = re.compile(rf'({_NAME})=("{_INSIDE}"|[^," ]++)', re.DOTALL)
_TAG = re.compile(r"((?:\\.|[^=,\\])++)=((?:\\.|[^=,\\])++)", re.DOTALL)
_BETWEEN_TAGS = re.compile(r"((?:\\.|[^,\\])++)(?:,|\Z)", re.DOTALL)
# A line whose last field is a string without its end, and the lines that may come after it: more of
# the string; its end and another open one; its end and that of the line.
_OPEN_FIELD = rf'{_NAME}="{_INSIDE}\\?'
_OPENED = re.compile(rf"(?:\\.|[^ \\])++ ++(?:{_FIELD},)*+{_OPEN_FIELD}", re.DOTALL)
_MORE = re.compile(rf"{_INSIDE}\\?", re.DOTALL)
_REOPENED = re.compile(rf'{_INSIDE}"(?:,{_FIELD})*+,{_OPEN_FIELD}', re.DOTALL)
_CLOSED = re.compile(rf'{_INSIDE}"(?:,{_FIELD})*+{_TIME}\r?', re.DOTALL)
_ESCAPED = re.compile(r"\\([,= ])")
_ESCAPED_IN_STRING = re.compile(r'\\(["\\])')
_INTEGER = re.compile(r"[+-]?\d+[iu]", re.ASCII)
_TRUE = frozenset({"t", "T", "true", "True", "TRUE"})
_FALSE = frozenset({"f", "F", "false", "False", "FALSE"})
_LAST_OF_FLOAT = frozenset("0123456789.")


class MalformedLine(HoursightError, ValueError):
    """A line that does not follow the protocol; the message says what was expected."""


class TimeRefused(MalformedLine):
    """A line whose time cannot be true; `readings` says what its number means in each unit."""

    def __init__(self, reason: str, readings: str) -> None:
        super().__init__(reason)
        self.readings = readings


class LinePoint(NamedTuple):
    """A parsed line; `time` is in the unit of the precision, None where the line has none."""

    measurement: str
    tags: dict[str, str]
    fields: dict[str, float | int | bool | str]
    time: int | None


def parts(text: str) -> Iterator[str]:
    """The lines of a body, without comments and empty ones; a string may hold line feeds.

    A string that never ends belongs to its first line alone: the lines behind it are lines.
    """
    ahead = _LookAhead(text)
    for line in ahead:
        if '"' in line and line[0] != "#" and _OPENED.fullmatch(line):
            line = ahead.whole(line)
        line = line.strip("\r ")
        if line and line[0] != "#":
            yield line


def split(line: str) -> tuple[str, str, str | None]:
    """Split a line into series, fields and time, unparsed. Raises MalformedLine."""
    if "\\" not in line and '"' not in line:
        parts = line.split(" ")
        if len(parts) == 3:
            return parts[0], parts[1], parts[2]
        if len(parts) == 2:
            return parts[0], parts[1], None
    whole = _LINE.fullmatch(line)
    if whole is None:
        if '"' in line and _OPENED.fullmatch(line):
            raise MalformedLine(
                "the string of a field has no end: close it with a quotation mark, and escape "
                "those inside it with a backslash"
            )
        raise MalformedLine(
            "not a line of measurement,tag=value field=value time: one space between the three, "
            "escape others with a backslash"
        )
    return whole[1], whole[2], whole[3]


def series(text: str) -> tuple[str, dict[str, str]]:
    """Parse the measurement and the tags of a series. Raises MalformedLine."""
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
    """Parse the names of fields; their values stay text. Raises MalformedLine."""
    if '"' in text or "\\" in text:
        return [(_unescaped(name), value) for name, value in _ONE_FIELD.findall(text)]
    pairs = [(pair[0], pair[2]) for pair in [p.partition("=") for p in text.split(",")]]
    for name, value in pairs:
        if not name or not value:
            raise MalformedLine(f"{name or value!r} is not a field (expected name=value)")
    return pairs


def number(text: str) -> float | None:
    """The value of a field as a number; None for text and booleans. Raises MalformedLine."""
    try:
        if text[-1] in _LAST_OF_FLOAT and "_" not in text:
            return float(text)
    except ValueError:
        pass
    value = _value(text)
    return float(value) if type(value) is int else None


def time_of(text: str) -> int:
    """The time of a line as a number. Raises MalformedLine."""
    try:
        if "_" not in text:
            return int(text)
    except ValueError:
        pass
    raise MalformedLine(f"{text!r} is not a time (expected a whole number)")


def points(text: str) -> Iterator[LinePoint]:
    """Parse all lines of a body. Raises MalformedLine."""
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
        return _integer(text)
    if text[-1] in _LAST_OF_FLOAT and "_" not in text:
        try:
            return float(text)
        except ValueError:
            pass
    raise MalformedLine(f'{text!r} is not a value (expected 1.5, 2i, 3u, true or "text")')


def _integer(text: str) -> int:
    number = int(text[:-1]) if len(text) <= MAX_INTEGER_CHARS else None
    if number is None or not -(1 << 63) <= number < 1 << 64:
        raise MalformedLine("an integer has more than 64 bits (expected for example 2i)")
    return number


def _plain_tag(pair: str) -> tuple[str, str]:
    name, _, value = pair.partition("=")
    if not name or not value or "=" in value:
        raise MalformedLine(f"{pair!r} is not a tag (expected name=value)")
    return name, value


def _escaped_tag(pair: str) -> tuple[str, str]:
    match = _TAG.fullmatch(pair)
    if match is None:
        raise MalformedLine(f"{pair!r} is not a tag (expected name=value)")
    return _unescaped(match[1]), _unescaped(match[2])


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(r"\1", text) if "\\" in text else text


class _LookAhead:
    """The lines of a text, of which some can be looked at before their turn.

    All that is looked at in vain is not longer than the text: beyond that every line is one line.
    """

    def __init__(self, text: str) -> None:
        self._rest = _lines(text)
        self._returned: deque[str] = deque()
        self._left = len(text)

    def __iter__(self) -> Iterator[str]:
        while True:
            if self._returned:
                yield self._returned.popleft()
            elif (line := next(self._rest, None)) is not None:
                yield line
            else:
                return

    def whole(self, line: str) -> str:
        """A line whose string is open, with those after it up to its end; alone where none fits."""
        taken: list[str] = []
        size = 0
        for more in chain(self._returned, self._rest):
            taken.append(more)
            size += len(more) + 1
            if _CLOSED.fullmatch(more):
                self._drop(len(taken))
                return "\n".join((line, *taken))
            too_long = size > min(MAX_STRING_CHARS, self._left)
            if too_long or not (_MORE.fullmatch(more) or _REOPENED.fullmatch(more)):
                break
        self._left -= size
        self._returned.extend(taken[len(self._returned) :])
        return line

    def _drop(self, count: int) -> None:
        for _ in range(min(count, len(self._returned))):
            self._returned.popleft()


def _lines(text: str) -> Iterator[str]:
    """The lines of a text, in blocks: a list of them all would take several times its size."""
    start = 0
    while start >= 0:
        end = text.find("\n", start + BLOCK_CHARS)
        yield from text[start : end if end >= 0 else None].split("\n")
        start = end + 1 if end >= 0 else -1
