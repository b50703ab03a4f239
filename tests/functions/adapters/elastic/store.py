"""The double itself: indices, data streams, points in time, searches, users and their rights."""

import base64
import fnmatch
import json
import operator
import re
import secrets
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, unquote

SHARDS = 2
MAX_WINDOW = 10_000
NUMBERS = ("long", "integer", "double", "float")
DATES = ("date", "date_nanos")
COMPARED = {"gte": operator.ge, "gt": operator.gt, "lte": operator.le, "lt": operator.lt}

Reply = tuple[int, dict[str, Any]]


class Refused(Exception):
    """An error as Elasticsearch words it."""

    def __init__(self, status: int, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.status, self.kind, self.reason = status, kind, reason

    @property
    def reply(self) -> Reply:
        cause = {"type": self.kind, "reason": self.reason}
        return self.status, {"error": {"root_cause": [cause], **cause}, "status": self.status}


@dataclass
class Doc:
    """One document, with the place in its index that breaks ties."""

    index: str
    id: str
    source: dict[str, Any]
    place: int

    @property
    def shard(self) -> int:
        return self.place >> 32


@dataclass
class Index:
    """Documents, and what their fields are mapped as."""

    name: str
    types: dict[str, str]
    dynamic: bool = True
    docs: dict[str, Doc] = field(default_factory=dict)

    def put(self, identity: str | None, source: dict[str, Any]) -> None:
        for path, value in _leaves(source):
            if path not in self.types and self.dynamic:
                self.types[path] = _guessed(value)
            self._check(path, value)
        identity = identity or secrets.token_urlsafe(12)
        place = zlib.crc32(identity.encode()) % SHARDS << 32 | len(self.docs)
        self.docs[identity] = Doc(self.name, identity, source, place)

    def _check(self, path: str, value: Any) -> None:
        kind = self.types.get(path)
        if (kind in DATES and _date_ns(value) is None) or (
            kind in NUMBERS and not _is_number(value)
        ):
            raise Refused(
                400,
                "document_parsing_exception",
                f"failed to parse field [{path}] of type [{kind}]",
            )


@dataclass
class User:
    """Who asks: may read the indices of a pattern, or do anything."""

    name: str
    reads: str = ""
    writes: bool = False

    def sees(self, index: str) -> bool:
        """Whether an index is one of those that may be read."""
        return self.writes or fnmatch.fnmatch(index, self.reads)

    def check(self, index: str, action: str) -> None:
        """Raise what a server answers to one who may not do it."""
        if not self.writes and (
            not action.startswith("read") or not fnmatch.fnmatch(index, self.reads)
        ):
            raise Refused(
                403, "security_exception",
                f"action [indices:{action}] is unauthorized for user [{self.name}] on indices "
                f"[{index}], this action is granted by the index privileges [read,all]",
            )  # fmt: skip


@dataclass
class Point:
    """A point in time: the documents as they were; only the newest of its ids counts."""

    docs: list[Doc]
    types: dict[str, dict[str, str]]
    id: str


class Store:
    """All that a cluster holds; `answer` is its API."""

    def __init__(self, passwords: dict[str, tuple[str, User]], keys: dict[str, User]) -> None:
        self._passwords, self._keys = passwords, keys
        self._indices: dict[str, Index] = {}
        self._streams: dict[str, list[str]] = {}
        self._templates: dict[str, dict[str, Any]] = {}
        self.points: dict[str, Point] = {}
        self._lock = threading.Lock()

    def answer(self, method: str, target: str, headers: Any, body: bytes) -> Reply:
        """The status and body that a server answers with."""
        path, _, query = target.partition("?")
        asked = {name: values[0] for name, values in parse_qs(query).items()}
        parts = [unquote(part) for part in path.strip("/").split("/")]
        try:
            with self._lock:
                user = self._user(headers.get("Authorization", ""))
                return 200, self._route(user, method, parts, asked, body)
        except Refused as refused:
            return refused.reply

    def _user(self, authorization: str) -> User:
        scheme, _, token = authorization.partition(" ")
        try:
            name, _, given = base64.b64decode(token).decode().partition(":")
        except ValueError:
            name, given = "", ""
        if scheme == "Basic" and self._passwords.get(name, ("",))[0] == given != "":
            return self._passwords[name][1]
        if scheme == "ApiKey" and f"{name}:{given}" in self._keys:
            return self._keys[f"{name}:{given}"]
        raise Refused(401, "security_exception", f"unable to authenticate user [{name}]")

    def _route(
        self, user: User, method: str, parts: list[str], asked: dict[str, str], body: bytes
    ) -> dict[str, Any]:
        match method, parts:
            case "PUT", ["_index_template", name]:
                user.check(name, "admin/template/put")
                self._templates[name] = json.loads(body)
                return {"acknowledged": True}
            case "DELETE", ["_index_template", name]:
                user.check(name, "admin/template/delete")
                return {"acknowledged": self._templates.pop(name, None) is not None}
            case "POST" | "PUT", ["_bulk"]:
                return self._bulk(user, body)
            case "POST", [name, "_pit"]:
                return self._open(user, name)
            case "DELETE", ["_pit"]:
                found = self.points.pop(json.loads(body)["id"], None)
                return {"succeeded": True, "num_freed": int(found is not None)}
            case "POST", ["_search"]:
                return self._search(json.loads(body))
            case "GET" | "POST", [name, "_field_caps"]:
                return self._field_caps(user, name, asked, body)
            case "GET", ["_resolve", "index", name]:
                return self._resolve(user, name)
            case "PUT", [name]:
                user.check(name, "admin/create")
                self._create(name, json.loads(body or b"{}").get("mappings", {}))
                return {"acknowledged": True, "index": name}
            case "DELETE", [name] | ["_data_stream", name]:
                user.check(name, "admin/delete")
                self._delete(name)
                return {"acknowledged": True}
        raise Refused(400, "illegal_argument_exception", f"no handler for {method} {parts}")

    # What is written, by tests only.

    def _create(self, name: str, mappings: dict[str, Any]) -> Index:
        types = dict(_types(mappings.get("properties", {})))
        self._indices[name] = Index(name, types, mappings.get("dynamic", True) is not False)
        return self._indices[name]

    def _delete(self, pattern: str) -> None:
        for name in fnmatch.filter([*self._streams, *self._indices], pattern):
            for behind in self._streams.pop(name, [name]):
                self._indices.pop(behind, None)

    def _bulk(self, user: User, body: bytes) -> dict[str, Any]:
        lines = [json.loads(line) for line in body.splitlines() if line.strip()]
        items = []
        for action, source in zip(lines[::2], lines[1::2], strict=True):
            ((kind, told),) = action.items()
            user.check(told["_index"], "data/write/bulk")
            try:
                self._written(told["_index"]).put(told.get("_id"), source)
                items.append({kind: {"status": 201}})
            except Refused as refused:
                items.append({kind: {"status": refused.status, "error": refused.reply[1]["error"]}})
        return {"errors": any("error" in next(iter(i.values())) for i in items), "items": items}

    def _written(self, name: str) -> Index:
        """The index that takes a document: a data stream's newest, made by its template."""
        if name in self._streams:
            return self._indices[self._streams[name][-1]]
        for template in self._templates.values():
            if any(fnmatch.fnmatch(name, pattern) for pattern in template["index_patterns"]):
                self._streams[name] = [f".ds-{name}-2026.05.06-000001"]
                mappings = template.get("template", {}).get("mappings", {})
                return self._create(self._streams[name][0], mappings)
        return self._indices.get(name) or self._create(name, {})

    # What is read.

    def _indices_of(self, user: User, expression: str, action: str) -> list[Index]:
        found: dict[str, Index] = {}
        for part in expression.split(","):
            names = [n for n in (*self._indices, *self._streams) if not n.startswith(".")]
            if "*" in part:  # a pattern leaves out what the user may not see
                hits = [
                    n
                    for n in fnmatch.filter(names, part)
                    if user.writes or fnmatch.fnmatch(n, user.reads)
                ]
            else:
                user.check(part, action)
                hits = [part]
                if part not in names:
                    raise Refused(404, "index_not_found_exception", f"no such index [{part}]")
            for hit in hits:
                found |= {b: self._indices[b] for b in self._streams.get(hit, [hit])}
        return list(found.values())

    def _resolve(self, user: User, pattern: str) -> dict[str, Any]:
        def seen(names: Any) -> list[dict[str, Any]]:
            names = [n for n in fnmatch.filter(names, pattern) if not n.startswith(".")]
            return [{"name": n} for n in names if user.sees(n)]

        return {"indices": seen(self._indices), "aliases": [], "data_streams": seen(self._streams)}

    def _field_caps(
        self, user: User, expression: str, asked: dict[str, str], body: bytes
    ) -> dict[str, Any]:
        indices = self._indices_of(user, expression, "read/field_caps")
        names = json.loads(body)["fields"] if body else asked["fields"].split(",")
        names = [names] if isinstance(names, str) else names
        paths = sorted(
            {p for i in indices for p in i.types for n in names if fnmatch.fnmatch(p, n)}
        )
        return {
            "indices": [index.name for index in indices],
            "fields": {p: _caps(p, indices, "include_unmapped" in asked) for p in paths},
        }

    def _open(self, user: User, expression: str) -> dict[str, Any]:
        indices = self._indices_of(user, expression, "read/open_point_in_time")
        docs = [doc for index in indices for doc in index.docs.values()]
        point = Point(docs, {i.name: dict(i.types) for i in indices}, _point_id())
        self.points[point.id] = point
        return {"id": point.id, "_shards": _shards(len(indices))}

    def _search(self, body: dict[str, Any]) -> dict[str, Any]:
        point = self.points.pop(body["pit"]["id"], None)
        if point is None:
            raise Refused(404, "search_context_missing_exception", "No search context found")
        point.id = _point_id()
        self.points[point.id] = point
        docs, total = _found(body, point)
        return {
            "pit_id": point.id, "took": 1, "timed_out": False, "_shards": _shards(len(point.types)),
            "hits": {"max_score": None, "hits": docs} | total,
        }  # fmt: skip


def _found(body: dict[str, Any], point: Point) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    size = body.get("size", 10)
    if size > MAX_WINDOW:
        raise Refused(400, "illegal_argument_exception", f"Result window is too large: [{size}]")
    sort = [next(iter(each.items())) for each in body["sort"]]
    after = body.get("search_after")
    if after is not None and len(after) != len(sort):
        raise Refused(
            400, "illegal_argument_exception",
            f"search_after has {len(after)} value(s) but sort has {len(sort)}",
        )  # fmt: skip
    _check_sort(sort, point)
    hits = [doc for doc in point.docs if _matches(body.get("query", {"match_all": {}}), doc, point)]
    keyed = sorted(((_key(doc, sort, point), doc) for doc in hits), key=lambda pair: pair[0])
    later = [pair for pair in keyed if after is None or pair[0] > after]
    includes = body.get("_source", {}).get("includes", ["*"])
    found = [
        {
            "_index": doc.index, "_id": doc.id, "_score": None, "sort": key,
            "_source": _projected(doc.source, includes),
        }
        for key, doc in later[:size]
    ]  # fmt: skip
    if body.get("track_total_hits", True) is False:
        return found, {}
    relation = "gte" if len(hits) > MAX_WINDOW else "eq"
    return found, {"total": {"value": min(len(hits), MAX_WINDOW), "relation": relation}}


def _check_sort(sort: list[tuple[str, Any]], point: Point) -> None:
    for name, told in sort:
        if name == "_shard_doc":
            continue
        kinds = {types.get(name) or told.get("unmapped_type") for types in point.types.values()}
        if None in kinds:
            raise Refused(
                400, "query_shard_exception", f"No mapping found for [{name}] in order to sort on"
            )
        if "text" in kinds:
            raise Refused(
                400, "illegal_argument_exception", f"Fielddata is disabled on [{name}] of type text"
            )


def _matches(query: dict[str, Any], doc: Doc, point: Point) -> bool:
    ((kind, told),) = query.items()
    match kind:
        case "match_all":
            return True
        case "bool":
            return all(_matches(each, doc, point) for each in told["filter"])
        case "range":
            ((name, bounds),) = told.items()
            return _in_range(_value(doc, name, point), bounds, point.types[doc.index].get(name))
    raise Refused(400, "parsing_exception", f"unknown query [{kind}]")


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
            raise Refused(400, "parsing_exception", f"[range] query does not support [{name}]")
        if not holds[name]:
            return False
    return True


def _bound(bound: Any, form: str, zone: str) -> int:
    """A bound in nanoseconds."""
    if form == "epoch_millis":
        return int(bound) * 1_000_000
    if form == "epoch_second":
        return int(bound) * 1_000_000_000
    text = str(bound)
    maths = re.fullmatch(r"now(?:-(\d+)([smhd]))?", text)
    if maths:
        span = int(maths[1] or 0) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[maths[2] or "s"]
        return int((datetime.now(UTC).timestamp() - span) * 1e9)
    found = _date_ns(text if re.search(r"(Z|[+-]\d\d:?\d\d)$", text) else text + zone)
    if found is None:
        raise Refused(400, "parse_exception", f"failed to parse date field [{bound}]")
    return found


def _key(doc: Doc, sort: list[tuple[str, Any]], point: Point) -> list[Any]:
    """The sort values: dates in epoch ms, date_nanos in ns unless they are asked for as dates."""
    key = []
    for name, told in sort:
        if name == "_shard_doc":
            key.append((list(point.types).index(doc.index) << 48) | doc.place)
            continue
        value = _value(doc, name, point)
        kind = told.get("numeric_type") or point.types[doc.index].get(name)
        if value is not None and kind == "date":
            value //= 1_000_000
        key.append((1 << 63) - 1 if value is None else value)
    return key


def _value(doc: Doc, name: str, point: Point) -> Any:
    """A field as it is indexed: a date in nanoseconds."""
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
        found = _date_ns(value)
        return found // 1_000_000 * 1_000_000 if kind == "date" and found is not None else found
    return value


def _date_ns(value: Any) -> int | None:
    """strict_date_optional_time||epoch_millis, in nanoseconds."""
    if _is_number(value):
        return int(value * 1_000_000 if isinstance(value, int) else float(value) * 1e6)
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    fraction = re.search(r"\.(\d+)", str(value))
    nanos = int(fraction[1][:9].ljust(9, "0")) if fraction else 0
    return int(moment.replace(microsecond=0).timestamp()) * 1_000_000_000 + nanos


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return not isinstance(value, bool)


def _guessed(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "long" if isinstance(value, int) else "float"
    return "date" if re.match(r"\d{4}-\d\d-\d\d", str(value)) else "text"


def _leaves(source: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in source.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{before}{key}.")
        elif value is not None:
            yield f"{before}{key}", value


def _types(properties: dict[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for name, told in properties.items():
        if "properties" in told:
            yield from _types(told["properties"], f"{before}{name}.")
        else:
            yield f"{before}{name}", told["type"]


def _caps(path: str, indices: list[Index], with_unmapped: bool) -> dict[str, Any]:
    by_type: dict[str, list[str]] = {}
    for index in indices:
        by_type.setdefault(index.types.get(path, "unmapped"), []).append(index.name)
    if not with_unmapped:
        by_type.pop("unmapped", None)
    several = len(by_type) > 1
    return {
        kind: {"type": kind, "metadata_field": False} | ({"indices": names} if several else {})
        for kind, names in by_type.items()
    }


def _projected(source: dict[str, Any], includes: list[str], before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in source.items():
        path = before + key
        if any(fnmatch.fnmatch(path, i) or path.startswith(i + ".") for i in includes):
            found[key] = value
        elif isinstance(value, dict):
            inside = _projected(value, includes, path + ".")
            found |= {key: inside} if inside else {}
    return found


def _shards(indices: int) -> dict[str, Any]:
    total = indices * SHARDS
    return {"total": total, "successful": total, "skipped": 0, "failed": 0}


def _point_id() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(60)).decode()
