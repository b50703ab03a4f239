"""Filter of records by the values of their fields, for `where` in a mapping."""

from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from functions.normalize.columns import Columns, as_list
from functions.normalize.mapping import Where

__all__ = ["filter_text", "matches"]

MAX_CACHED_CHARS = 1000

Mask = npt.NDArray[np.bool_]


def matches(columns: Columns, where: Where, count: int) -> Mask | None:
    """A mask [n] of the records that match all fields of `where`; None where it is empty.

    A value matches as text, exactly or with * and ? as in names of files; '' is a missing value,
    and '!x' any but x.
    """
    mask: Mask | None = None
    for path, wanted in where.items():
        texts = _texts(wanted)
        column = columns.get(path)
        if column is None:
            fits = np.full(count, _fits("", texts))
        else:
            values = [_text(value) for value in as_list(column)]
            known = {value: _fits_cached(value, texts) for value in set(values)}
            fits = np.fromiter((known[value] for value in values), bool, count)
        mask = fits if mask is None else mask & fits
    return mask


def filter_text(where: Where) -> str:
    """A filter for display: `name = cpu, tags.cpu = cpu-total`."""
    return ", ".join(f"{path} = {' or '.join(_texts(wanted))}" for path, wanted in where.items())


def _fits_cached(value: str, texts: tuple[str, ...]) -> bool:
    return _short_fits(value, texts) if len(value) <= MAX_CACHED_CHARS else _fits(value, texts)


@lru_cache(10_000)
def _short_fits(value: str, texts: tuple[str, ...]) -> bool:
    return _fits(value, texts)


def _fits(value: str, texts: tuple[str, ...]) -> bool:
    unwanted = [text[1:] for text in texts if text.startswith("!")]
    if any(_is_like(value, text) for text in unwanted):
        return False
    wanted = [text for text in texts if not text.startswith("!")]
    return not wanted or any(_is_like(value, text) for text in wanted)


def _is_like(value: str, text: str) -> bool:
    return value == text or fnmatchcase(value, text)


def _texts(wanted: Any) -> tuple[str, ...]:
    return tuple(map(_text, wanted if isinstance(wanted, tuple) else (wanted,)))


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
