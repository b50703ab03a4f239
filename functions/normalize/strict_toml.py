"""Strict TOML: decoding into structs, with errors that name key, value and remedy."""

import re
from collections.abc import Iterator
from typing import Any, get_args

import msgspec

from storage.errors import HoursightError

__all__ = ["SourceInvalid", "decode_strict"]

_UNKNOWN = re.compile(r"Object contains unknown field `(?P<key>[^`]+)`(?: - at `(?P<path>[^`]+)`)?")
_MISSING = re.compile(r"Object missing required field `(?P<key>[^`]+)`(?: - at `(?P<path>[^`]+)`)?")
_AT = re.compile(r" - at `(?P<path>[^`]+)`$")
_STEP = re.compile(r"\.(\w+)|\[(\d+|\.\.\.)\]")


class SourceInvalid(HoursightError, ValueError):
    """A source file that cannot be used; the message names key, value and remedy."""


def decode_strict(raw: Any, kind: Any, where: str = "") -> Any:
    """Decode `raw`, which stands at `where` in its file, as a `kind`. Raises SourceInvalid."""
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        raise SourceInvalid(_in_words(str(error), raw, kind, where)) from error


def _in_words(error: str, raw: Any, kind: Any, where: str) -> str:
    if unknown := _UNKNOWN.match(error):
        place, key = _place(where, unknown["path"]), unknown["key"]
        known = ", ".join(_keys(kind, unknown["path"] or "$"))
        return f"{_join(place, key)} is not a key (expected one of {known})"
    if missing := _MISSING.match(error):
        return f"{_join(_place(where, missing['path']), missing['key'])} is missing: write it"
    at = _AT.search(error)
    path = at["path"] if at else "$"
    value, said = _value(raw, path), _AT.sub("", error)
    given = "" if isinstance(value, dict | list) else f" is {value!r}"
    place = _place(where, path)
    return f"{place}{given}: {said[0].lower()}{said[1:]}" if place else said


def _place(where: str, path: str | None) -> str:
    return _join(where, (path or "$").removeprefix("$").lstrip("."))


def _join(place: str, key: str) -> str:
    return f"{place}.{key}" if place and key and not key.startswith("[") else place + key


def _value(raw: Any, path: str) -> Any:
    for name, index in _STEP.findall(path):
        try:
            raw = raw[name] if name else raw[int(index)]
        except (KeyError, IndexError, TypeError, ValueError):
            return {}
    return raw


def _keys(kind: Any, path: str) -> list[str]:
    """The keys of the struct at `path` below `kind`."""
    for name, _ in _STEP.findall(path):
        kind = _below(kind, name)
    return sorted({key for struct in _structs(kind) for key in struct.__struct_encode_fields__})


def _below(kind: Any, name: str) -> Any:
    for struct in _structs(kind) if name else ():
        for field in msgspec.structs.fields(struct):
            if field.encode_name == name:
                return field.type
    return get_args(kind)[-1] if get_args(kind) else kind


def _structs(kind: Any) -> Iterator[Any]:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield kind
        return
    for each in get_args(kind):
        yield from _structs(each)
