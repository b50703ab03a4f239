"""Names of servers, sites, profiles and sources: one rule for every table and every endpoint."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from storage.errors import HoursightError
from storage.model.addresses import canonical_address
from storage.model.table_definition import Column

__all__ = [
    "EXPECTED", "MAX_LENGTH", "REMEDY", "InvalidName", "NameCheck", "check_name", "check_names",
    "erased_name", "is_name", "server_name", "trimmed",
]  # fmt: skip

MAX_LENGTH = 253  # of a host name in DNS
EXPECTED = f"expected 1 to {MAX_LENGTH} printable characters"
REMEDY = "rename it at the sender"
SHOWN_LENGTH = 60


class InvalidName(HoursightError, ValueError):
    """A name that breaks the rule; the message has the field, the value and the remedy."""


@dataclass(frozen=True, slots=True)
class NameCheck:
    """Rows with valid, trimmed names, the number of rows that were refused, and the reasons."""

    rows: pa.Table
    refused: int = 0
    reasons: tuple[str, ...] = ()


def trimmed(value: object) -> str | None:
    """`value` without surrounding white space; None if it is not a valid name.

    Control characters, invisible ones and those that change the direction of text are not
    printable, so that two names that look the same are the same.
    """
    name = value.strip() if isinstance(value, str) else ""
    return name if 0 < len(name) <= MAX_LENGTH and name.isprintable() else None


def server_name(value: object) -> str | None:
    """The name of a server: trimmed, IPv6 addresses in one spelling; None if it is not valid."""
    name = trimmed(value)
    return name if name is None else canonical_address(name)


def erased_name(server: str) -> str:
    """The pseudonym of an erased server: a fingerprint of its name."""
    return "deleted-" + hashlib.sha256(server.encode()).hexdigest()[:16]


def is_name(value: object) -> bool:
    """Return True if `value` is a valid name that needs no trimming."""
    return value == trimmed(value)


def check_name(field: str, value: object, remedy: str = REMEDY) -> str:
    """The trimmed name. Raises InvalidName."""
    name = trimmed(value)
    if name is None:
        raise InvalidName(f"{field} {_shown(value)} is not a valid name ({EXPECTED}): {remedy}")
    return name


def check_names(rows: pa.Table, columns: Sequence[Column]) -> NameCheck:
    """`rows` with the names in `columns` trimmed, and without the rows whose names are invalid.

    IPv6 addresses in `server` get their one spelling, so that two spellings are one server.
    A blank name counts as missing where its column is optional. Columns that are absent or hold
    no text are left as they are. Each distinct name is checked once.
    """
    refused, reasons = 0, []
    for column in columns:
        if not column.is_name or not _holds_text(rows, column.name):
            continue
        values = rows[column.name]
        distinct = pc.unique(values).to_pylist()
        name_of = server_name if column.name == "server" else trimmed
        if all(value is None or value == name_of(value) for value in distinct):
            continue
        invalid = [v for v in distinct if v is not None and not _passes(v, column)]
        wrong = pc.is_in(values, value_set=pa.array(invalid, values.type))
        count = pc.sum(wrong).as_py() or 0
        if count:
            reasons.append(_reason(column.name, invalid, count))
            refused += count
            rows = rows.filter(pc.invert(wrong))
        place = rows.column_names.index(column.name)
        rows = rows.set_column(place, column.name, _names(rows[column.name], name_of))
    return NameCheck(rows, refused, tuple(reasons))


def _holds_text(rows: pa.Table, name: str) -> bool:
    if name not in rows.column_names:
        return False
    kind = rows.schema.field(name).type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _passes(value: str, column: Column) -> bool:
    return trimmed(value) is not None or (not column.required and not value.strip())


def _names(values: pa.ChunkedArray, name_of: Callable[[object], str | None]) -> pa.Array:
    encoded = values.combine_chunks().dictionary_encode()
    names = pa.array([name_of(v) for v in encoded.dictionary.to_pylist()], values.type)
    return names.take(encoded.indices)


def _reason(field: str, invalid: Sequence[str], count: int) -> str:
    more = f" and {len(invalid) - 1} more" if len(invalid) > 1 else ""
    rows = f"{count} row{'s' if count > 1 else ''}"
    verb = "are not valid names" if more else "is not a valid name"
    return f"{field} {_shown(invalid[0])}{more} {verb} ({EXPECTED}): {REMEDY} ({rows})"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_LENGTH else f"{text[:SHOWN_LENGTH]}…"
