"""JSON from outside: one decoder with limits, and one error whatever the text is."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, TypeVar, overload

import msgspec

from storage.errors import HoursightError

__all__ = ["MAX_DEPTH", "InvalidJson", "decode_json"]

T = TypeVar("T")

MAX_DEPTH = 64
# Those of MessagePack, in which the body of a call crosses to a worker.
INTEGERS = range(-(1 << 63), 1 << 64)
_SCALARS = frozenset({str, bytes, int, float, bool, type(None), datetime})
_TOO_DEEP = f"it is nested more than {MAX_DEPTH} levels deep"


class InvalidJson(HoursightError, ValueError):
    """A text that is not JSON, or JSON beyond the limits; the message says where and why."""


@overload
def decode_json(text: bytes | str, kind: type[T], *, narrow: bool = ...) -> T: ...
@overload
def decode_json(text: bytes | str, *, narrow: bool = ...) -> Any: ...
def decode_json(text: bytes | str, kind: Any = Any, *, narrow: bool = False) -> Any:
    """The value of a JSON text, as `kind`. Of a key that comes twice the last value counts.

    `narrow` refuses integers of more than 64 bits. Raises InvalidJson, whatever the text is.
    """
    try:
        value = msgspec.json.decode(text, type=kind)
    except RecursionError as error:
        raise InvalidJson(_TOO_DEEP) from error
    except (UnicodeDecodeError, UnicodeEncodeError) as error:
        raise InvalidJson(f"it is not UTF-8 ({error.reason} at {error.start})") from error
    except ValueError as error:
        raise InvalidJson(str(error)) from error
    if narrow or _may_be_deep(text):
        _check(value, narrow)
    return value


def _may_be_deep(text: bytes | str) -> bool:
    """Whether a walk is needed; to count brackets is far quicker."""
    if isinstance(text, str):
        return text.count("[") + text.count("{") > MAX_DEPTH
    return text.count(b"[") + text.count(b"{") > MAX_DEPTH


def _check(value: Any, narrow: bool) -> None:
    """Walk level by level: recursion would need the depth that is to be refused."""
    level: list[Any] = [(value,)]
    for _ in range(MAX_DEPTH + 1):
        if narrow and any(_is_wide(child) for each in level for child in _children(each)):
            raise InvalidJson("it has an integer of more than 64 bits")
        level = [c for each in level for c in _children(each) if type(c) not in _SCALARS]
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
