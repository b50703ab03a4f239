"""Fields of a request to Prometheus's API: in the URL, or in a form."""

import re
from datetime import UTC, datetime
from typing import Any

import promql_parser as promql
from litestar import Request

from web.promql.errors import BadData
from web.promql.evaluation import parsed
from web.promql.matching import Selector, selector_of

__all__ = ["Fields", "fields_of", "limit_in", "one", "selectors_in", "step_in", "time_in"]

_DURATION = re.compile(r"\d+(\.\d+)?")
Fields = dict[str, list[str]]


async def fields_of(request: Request[Any, Any, Any]) -> Fields:
    """Return the fields of the URL and of a form."""
    fields: Fields = {}
    pairs = list(request.query_params.multi_items())
    if request.method == "POST":
        pairs += (await request.form()).multi_items()
    for name, value in pairs:
        if not isinstance(value, str):
            raise BadData(f"invalid parameter {name!r}: expected a text, got a file")
        fields.setdefault(name, []).append(value)
    return fields


def one(fields: Fields, name: str) -> str:
    """Return the first value of a field. Raises BadData without one."""
    if not fields.get(name, [""])[0]:
        raise BadData(f"invalid parameter {name!r}: it is missing or empty")
    return fields[name][0]


def time_in(fields: Fields, name: str, default: float | None = None) -> float:
    """Return a time [s], written as seconds or as RFC 3339."""
    if default is not None and not fields.get(name, [""])[0]:
        return default
    text = one(fields, name)
    try:
        seconds = float(text)
    except ValueError:
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            raise BadData(
                f"invalid parameter {name!r}: cannot parse {text!r} to a valid timestamp"
            ) from None
        seconds = at.replace(tzinfo=at.tzinfo or UTC).timestamp()
    if not abs(seconds) < 1e11:
        raise BadData(f"invalid parameter {name!r}: {text!r} is not a time that can be kept")
    return seconds


def step_in(fields: Fields) -> float:
    """Return the step [s], a number or such as 15s. Raises BadData."""
    text = one(fields, "step")
    try:
        seconds = (
            float(text)
            if _DURATION.fullmatch(text)
            else promql.parse_duration(text).total_seconds()
        )
    except (ValueError, OverflowError):
        raise BadData(f"invalid parameter 'step': cannot parse {text!r} to a duration") from None
    if not 0 < seconds < 1e9:
        raise BadData(
            "invalid parameter 'step': zero or negative query resolution step widths are not "
            "accepted. Try a positive integer"
        )
    return seconds


def limit_in(fields: Fields) -> int | None:
    """Return the largest number of answers; None: all. Raises BadData."""
    text = fields.get("limit", [""])[0]
    if text and not text.isdecimal():
        raise BadData(f"invalid parameter 'limit': {text!r} is not a whole number")
    return int(text[:9]) or None if text else None


def selectors_in(fields: Fields) -> list[Selector]:
    """Return what `match[]` selects. Raises BadData."""
    selectors = []
    for text in fields.get("match[]", []):
        node = parsed(text)
        if type(node).__name__ != "VectorSelector":
            raise BadData(f"invalid parameter 'match[]': {text!r} is not a selector")
        selectors.append(selector_of(node))
    return selectors
