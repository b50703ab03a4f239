"""Decoding of untrusted JSON, with limits on depth and integers, and one error class."""

import json
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any, TypeVar, overload

import msgspec

from storage.errors import HoursightError

__all__ = ["MAX_DEPTH", "InvalidJson", "decode_json", "decoded_bytes"]

T = TypeVar("T")

MAX_DEPTH = 64
# Bytes of memory, measured: of an empty object, and of a value with a name that comes once.
_CONTAINER_BYTES, _VALUE_BYTES = 100, 300
# The range of MessagePack, in which the body of a call is sent to a worker.
INTEGERS = range(-(1 << 63), 1 << 64)
_SCALARS = frozenset({str, bytes, int, float, bool, type(None), datetime})
_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_NO_NUMBER = re.compile(r"\b(?:NaN|Infinity)\b")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_TOO_DEEP = f"it is nested more than {MAX_DEPTH} levels deep"


class InvalidJson(HoursightError, ValueError):
    """The text is not JSON, or exceeds the limits; the message says where and why."""


@overload
def decode_json(text: bytes | str, kind: type[T], *, narrow: bool = ..., nan: bool = ...) -> T: ...
@overload
def decode_json(text: bytes | str, *, narrow: bool = ..., nan: bool = ...) -> Any: ...
def decode_json(
    text: bytes | str, kind: Any = Any, *, narrow: bool = False, nan: bool = False
) -> Any:
    """The value of a JSON text, as `kind`. Of a repeated key the last value is used.

    `narrow` rejects integers of more than 64 bits. With `nan` the words NaN and Infinity, which
    JSON does not have and many programs write, are floats. Raises InvalidJson and nothing else.
    """
    try:
        value = _with_nan(text, kind) if nan else msgspec.json.decode(text, type=kind)
    except RecursionError as error:
        raise InvalidJson(_TOO_DEEP) from error
    except (UnicodeDecodeError, UnicodeEncodeError) as error:
        raise InvalidJson(f"it is not UTF-8 ({error.reason} at {error.start})") from error
    except ValueError as error:
        raise InvalidJson(str(error)) from error
    if narrow or _may_be_deep(text):
        _check(value, narrow)
    return value


def decoded_bytes(text: bytes) -> int:
    """About the most memory that the value of a JSON text takes, in bytes, before it is decoded.

    It is counted by commas and brackets: those inside of strings make it larger.
    """
    containers = text.count(b"[") + text.count(b"{")
    wide = len(text) * (1 if text.isascii() else 4)
    return wide + _CONTAINER_BYTES * containers + _VALUE_BYTES * text.count(b",")


def _with_nan(text: bytes | str, kind: Any) -> Any:
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError as error:
        if isinstance(text, bytes):
            if text.startswith(_MARKS):
                raise ValueError("it begins with a byte order mark: send UTF-8 without") from error
            text = text.decode()
        if not _NO_NUMBER.search(text):
            raise
        value = json.loads(text)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()  # fails for half a pair
        return msgspec.convert(value, kind)


def _may_be_deep(text: bytes | str) -> bool:
    """Return True if the depth has to be checked; counting brackets is much faster."""
    if isinstance(text, str):
        return text.count("[") + text.count("{") > MAX_DEPTH
    return text.count(b"[") + text.count(b"{") > MAX_DEPTH


def _check(value: Any, narrow: bool) -> None:
    """Check depth and integers level by level; recursion would itself overflow."""
    level: list[Any] = [(value,)]
    for _ in range(MAX_DEPTH + 1):
        if narrow and any(_is_wide(child) for parent in level for child in _children(parent)):
            raise InvalidJson("it has an integer of more than 64 bits")
        level = [c for parent in level for c in _children(parent) if type(c) not in _SCALARS]
        if not level:
            return
    raise InvalidJson(_TOO_DEEP)


def _is_wide(value: Any) -> bool:
    return type(value) is int and value not in INTEGERS


def _children(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    if isinstance(value, list | tuple):
        return value
    if isinstance(value, msgspec.Struct):
        return [getattr(value, name) for name in value.__struct_fields__]
    return ()
