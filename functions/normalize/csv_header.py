"""Header of a CSV file: which of its first lines names the columns, and what divides them.

Nothing is guessed: where more than one delimiter is possible, the setting that decides is named.
"""

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from storage.errors import HoursightError

__all__ = [
    "DELIMITERS",
    "CsvHeader",
    "FileForm",
    "FileUnreadable",
    "check_names",
    "find_header",
    "width_of",
]

DELIMITERS = (",", ";", "\t", "|")
SAMPLED = 20
MAX_COLUMNS = 20_000
SHOWN_CHARS = 200
_SEP = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
_ANNOTATION = re.compile(r"#(?:group|datatype|default)\b")
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_NUMBER = re.compile(r"\s*[+-]?[0-9]+(?:[.,][0-9]+)?\s*")


class FileUnreadable(HoursightError):
    """A file that is not what its name says; the message says where and why."""


@dataclass(frozen=True, slots=True)
class FileForm:
    """How text files are written, as far as it is stated.

    `delimiter` and `header_line` (from 1) concern CSV; '' and 0 leave them to the file.
    """

    delimiter: str = ""
    encoding: str = ""
    header_line: int = 0


@dataclass(frozen=True, slots=True)
class CsvHeader:
    """The delimiter, the names of the columns, and the number of lines up to the first row.

    `marked` headers begin with '#', as those of sadf, and may come again with other names.
    `passed` are rows before the header, each with the number of its line.
    """

    delimiter: str
    names: tuple[str, ...]
    lines: int
    marked: bool = False
    passed: tuple[tuple[int, str], ...] = ()


def find_header(lines: Sequence[str], form: FileForm, first: int = 1) -> CsvHeader:
    """Return the header in the first `lines` of a file or section, which begins at line `first`.

    Raises FileUnreadable, which says what to state, when it or the delimiter is not certain.
    """
    place, stated = 0, form.delimiter
    if form.header_line and first == 1:
        place = form.header_line - 1
        if place >= len(lines):
            raise FileUnreadable(f"header_line is {form.header_line}; the file ends before it")
        return _plain(lines, place, stated, first)
    place = _next(lines, place)
    sep = _SEP.fullmatch(lines[place].strip()) if place < len(lines) else None
    if sep:
        stated = _agreed(stated, sep[1], place + first)
        place = _next(lines, place + 1)
    block = _cloudwatch(lines, place)
    if block is not None:
        return block
    marked = _marked(lines, place, stated, first)
    return marked or _plain(lines, _next(lines, place, comments=True), stated, first)


def width_of(line: str, delimiter: str) -> int:
    """The number of fields in a line."""
    return len(_cells(line, delimiter))


def _plain(lines: Sequence[str], place: int, stated: str, first: int) -> CsvHeader:
    if place >= len(lines):
        raise FileUnreadable("it is empty: its first line must name the columns")
    delimiter = _delimiter(lines, place, stated, first)
    return CsvHeader(delimiter, _names(lines[place], delimiter), place + 1)


def _marked(lines: Sequence[str], place: int, stated: str, first: int) -> CsvHeader | None:
    """The header that begins with '#' and stands before a row of the same width; None without.

    What stands before it has another width: else it is a comment among rows.
    """
    passed: list[tuple[int, str]] = []
    for at in range(place, len(lines) - 1):
        line, row = lines[at], lines[at + 1]
        if not line.startswith("#"):
            passed += [(at + first, line)] if line.strip() else []
        elif not _ANNOTATION.match(line) and not row.startswith("#"):
            tried = [d for d in ([stated] if stated else DELIMITERS) if _heads(line, row, d)]
            if any(width_of(text, d) == width_of(line, d) for _, text in passed for d in tried):
                return None
            if tried:
                delimiter = _delimiter(lines, at, stated, first)
                return CsvHeader(delimiter, _names(line, delimiter), at + 1, True, tuple(passed))
    return None


def _heads(line: str, row: str, delimiter: str) -> bool:
    """Return True if a line has as many fields as the row below it, in which there is a number."""
    cells = _cells(row, delimiter)
    return width_of(line, delimiter) == len(cells) > 1 and any(map(_NUMBER.fullmatch, cells))


def _cloudwatch(lines: Sequence[str], place: int) -> CsvHeader | None:
    """The names of CloudWatch's export: the lines from 'Label' to 'Time' together, per column."""
    if place >= len(lines) or not re.match(r'"?(?:Full )?[Ll]abel"?,', lines[place]):
        return None
    rows = []
    for at in range(place, len(lines)):
        rows.append(_cells(lines[at], ","))
        if rows[-1][0] == "Time":
            columns = [
                [row[i].strip() for row in rows if i < len(row)] for i in range(len(rows[0]))
            ]
            names = ["Time", *(" ".join(filter(None, cells)) for cells in columns[1:])]
            return CsvHeader(",", check_names(names), at + 1)
    return None


def _delimiter(lines: Sequence[str], place: int, stated: str, first: int) -> str:
    header, number = lines[place], place + first
    unquoted = _QUOTED.sub("", header)
    possible = [each for each in DELIMITERS if each in unquoted]
    if stated:
        if stated not in header and possible:
            raise FileUnreadable(
                f"line {number} has no {stated!r}, which is the delimiter in [connection]: "
                f"{_shown(header)}; write delimiter = {possible[0]!r}"
            )
        return stated
    rows = [line for line in lines[place + 1 : place + 1 + SAMPLED] if line.strip()]
    if len(possible) > 1:
        fits = [d for d in possible if all(width_of(r, d) == width_of(header, d) for r in rows)]
        possible = fits if len(fits) == 1 else possible
    if len(possible) > 1:
        raise FileUnreadable(
            f"line {number} can be divided by {' or '.join(map(repr, possible))}: "
            f"{_shown(header)}; write delimiter = {possible[0]!r} (or another) in [connection]"
        )
    if not possible:
        raise FileUnreadable(
            f"line {number} has one column only, {_shown(header)} (expected names divided by "
            "',', ';', '|' or tab): write delimiter or header_line in [connection]"
        )
    return possible[0]


def _agreed(stated: str, said: str, number: int) -> str:
    if stated and stated != said:
        raise FileUnreadable(
            f"line {number} says sep={said}, and delimiter is {stated!r} in [connection]: write "
            f"delimiter = {said!r}"
        )
    return said


def _next(lines: Sequence[str], place: int, *, comments: bool = False) -> int:
    """The place of the next line that is not blank, nor a comment where they are skipped."""
    while place < len(lines) and (
        not lines[place].strip() or (comments and lines[place].startswith("#"))
    ):
        place += 1
    return place


def _names(line: str, delimiter: str) -> tuple[str, ...]:
    return check_names(_cells(line, delimiter))


def check_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return `names`; raises FileUnreadable where one of them comes twice. Blank ones may."""
    if len(names) > MAX_COLUMNS:
        raise FileUnreadable(
            f"{len(names)} columns are more than {MAX_COLUMNS:,}: write the file in parts, or with "
            "one row a server and time"
        )
    twice = [name for name, count in Counter(names).items() if count > 1 and name.strip()]
    if twice:
        raise FileUnreadable(
            f"a column comes twice: {', '.join(map(repr, twice))} (which one counts is not known); "
            "rename or remove one in the header"
        )
    return tuple(names)


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line.rstrip("\r\n")], delimiter=delimiter), [""])
    except csv.Error as error:
        raise FileUnreadable(f"the line {_shown(line)} cannot be divided: {error}") from error


def _shown(line: str) -> str:
    text = line.strip()
    return repr(text if len(text) <= SHOWN_CHARS else text[: SHOWN_CHARS - 1] + "…")
