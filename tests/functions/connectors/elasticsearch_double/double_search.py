"""Searches of the double: ranges, sorts in a total order, pages, projections and totals."""

import fnmatch
import operator
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

MAX_WINDOW = 10_000
NUMBERS = ("long", "integer", "double", "float")
DATES = ("date", "date_nanos")
COMPARED = {"gte": operator.ge, "gt": operator.gt, "lte": operator.le, "lt": operator.lt}

Reply = tuple[int, dict[str, Any]]


class DoubleError(Exception):
    """An error response of Elasticsearch."""

    def __init__(self, status: int, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.status, self.kind, self.reason = status, kind, reason

    @property
    def reply(self) -> Reply:
        cause = {"type": self.kind, "reason": self.reason}
        return self.status, {"error": {"root_cause": [cause], **cause}, "status": self.status}


@dataclass
class Doc:
    """One document, with the place in its index that breaks ties of a sort."""

    index: str
    id: str
    source: dict[str, Any]
    place: int

    @property
    def shard(self) -> int:
        return self.place >> 32


@dataclass
class DoublePit:
    """A point in time: the documents as they were; only the newest of its ids is valid."""

    docs: list[Doc]
    types: dict[str, dict[str, str]]
    id: str


def search(body: dict[str, Any], point: DoublePit) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the hits of a search body, and its `total` where it is tracked."""
    size = body.get("size", 10)
    if size > MAX_WINDOW:
        raise DoubleError(
            400, "illegal_argument_exception", f"Result window is too large: [{size}]"
        )
    sort = [
        (name, options if isinstance(options, dict) else {"order": options})
        for each in body["sort"]
        for name, options in each.items()
    ]
    after = body.get("search_after")
    if after is not None and len(after) != len(sort):
        raise DoubleError(
            400, "illegal_argument_exception",
            f"search_after has {len(after)} value(s) but sort has {len(sort)}",
        )  # fmt: skip
    _check_sort(sort, point)
    hits = [doc for doc in point.docs if _matches(body.get("query", {"match_all": {}}), doc, point)]
    keyed = sorted(((_key(doc, sort, point), doc) for doc in hits), key=lambda pair: pair[0])
    later = [pair for pair in keyed if after is None or pair[0] > after]
    includes = body.get("_source", {}).get("includes", ["*"])
    page = [
        {
            "_index": doc.index, "_id": doc.id, "_score": None, "sort": key,
            "_source": _projected(doc.source, includes),
        }
        for key, doc in later[:size]
    ]  # fmt: skip
    return page, _total(len(hits), body.get("track_total_hits", MAX_WINDOW))


def _total(count: int, track: bool | int) -> dict[str, Any]:
    """The total: counted up to a limit, 10,000 by default, without a limit, or not at all."""
    if track is False:
        return {}
    if track is True or count <= track:
        return {"total": {"value": count, "relation": "eq"}}
    return {"total": {"value": track, "relation": "gte"}}


def _check_sort(sort: list[tuple[str, Any]], point: DoublePit) -> None:
    for name, options in sort:
        if name == "_shard_doc":
            continue
        kinds = {types.get(name) or options.get("unmapped_type") for types in point.types.values()}
        if None in kinds:
            raise DoubleError(
                400, "query_shard_exception", f"No mapping found for [{name}] in order to sort on"
            )
        if "text" in kinds:
            raise DoubleError(
                400, "illegal_argument_exception", f"Fielddata is disabled on [{name}] of type text"
            )


def _matches(query: dict[str, Any], doc: Doc, point: DoublePit) -> bool:
    ((kind, clause),) = query.items()
    match kind:
        case "match_all":
            return True
        case "bool":
            return all(_matches(each, doc, point) for each in clause["filter"])
        case "range":
            ((name, bounds),) = clause.items()
            return _in_range(_value(doc, name, point), bounds, point.types[doc.index].get(name))
    raise DoubleError(400, "parsing_exception", f"unknown query [{kind}]")


def _in_range(value: int | float | None, bounds: dict[str, Any], kind: str | None) -> bool:
    if value is None:
        return False
    form = bounds.get("format", "strict_date_optional_time")
    for name, bound in bounds.items():
        if name in ("format", "time_zone"):
            continue
        limit = _bound(bound, form, bounds.get("time_zone", "Z")) if kind in DATES else bound
        holds = {
            "gte": value >= limit,
            "gt": value > limit,
            "lte": value <= limit,
            "lt": value < limit,
        }
        if name not in holds:
            raise DoubleError(400, "parsing_exception", f"[range] query does not support [{name}]")
        if not holds[name]:
            return False
    return True


def _bound(bound: Any, form: str, zone: str) -> int:
    """A bound in epoch nanoseconds."""
    if form == "epoch_millis":
        return int(bound) * 1_000_000
    if form == "epoch_second":
        return int(bound) * 1_000_000_000
    text = str(bound)
    maths = re.fullmatch(r"now(?:-(\d+)([smhd]))?", text)
    if maths:
        span = int(maths[1] or 0) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[maths[2] or "s"]
        return int((datetime.now(UTC).timestamp() - span) * 1e9)
    ns = date_ns(text if re.search(r"(Z|[+-]\d\d:?\d\d)$", text) else text + zone)
    if ns is None:
        raise DoubleError(400, "parse_exception", f"failed to parse date field [{bound}]")
    return ns


def _key(doc: Doc, sort: list[tuple[str, Any]], point: DoublePit) -> list[Any]:
    """The sort values: dates in epoch ms; date_nanos in ns, unless sorted as dates."""
    key = []
    for name, options in sort:
        if name == "_shard_doc":
            key.append((list(point.types).index(doc.index) << 48) | doc.place)
            continue
        value = _value(doc, name, point)
        kind = options.get("numeric_type") or point.types[doc.index].get(name)
        if value is not None and kind == "date":
            value //= 1_000_000
        key.append((1 << 63) - 1 if value is None else value)
    return key


def _value(doc: Doc, name: str, point: DoublePit) -> Any:
    """The indexed value of a field; a date in epoch nanoseconds."""
    value: Any = doc.source
    if name in doc.source:
        value = doc.source[name]
    else:
        for step in name.split("."):
            value = value.get(step) if isinstance(value, dict) else None
    kind = point.types[doc.index].get(name)
    if value is None or kind is None:
        return None
    if kind in DATES:
        ns = date_ns(value)
        return ns // 1_000_000 * 1_000_000 if kind == "date" and ns is not None else ns
    return value


def date_ns(value: Any) -> int | None:
    """Return a date (strict_date_optional_time or epoch_millis) in nanoseconds; None if invalid."""
    if is_number(value):
        return int(value * 1_000_000 if isinstance(value, int) else float(value) * 1e6)
    try:
        ts = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    ts = ts if ts.tzinfo else ts.replace(tzinfo=UTC)
    fraction = re.search(r"\.(\d+)", str(value))
    nanos = int(fraction[1][:9].ljust(9, "0")) if fraction else 0
    return int(ts.replace(microsecond=0).timestamp()) * 1_000_000_000 + nanos


def is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return not isinstance(value, bool)


def _projected(source: dict[str, Any], includes: list[str], before: str = "") -> dict[str, Any]:
    projected: dict[str, Any] = {}
    for key, value in source.items():
        path = before + key
        if any(fnmatch.fnmatch(path, i) or path.startswith(i + ".") for i in includes):
            projected[key] = value
        elif isinstance(value, dict):
            inside = _projected(value, includes, path + ".")
            projected |= {key: inside} if inside else {}
    return projected
