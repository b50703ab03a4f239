"""Store of the double: indices, data streams, points in time, users and their privileges."""

import base64
import fnmatch
import json
import re
import secrets
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote

from tests.functions.connectors.elasticsearch_double.double_search import (
    DATES,
    NUMBERS,
    Doc,
    DoubleError,
    DoublePit,
    Reply,
    date_ns,
    is_number,
    search,
)

SHARDS = 2
METADATA = ("_id", "_index", "_source")


@dataclass
class Index:
    """Documents, and the mapping of their fields."""

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
        if (kind in DATES and date_ns(value) is None) or (kind in NUMBERS and not is_number(value)):
            raise DoubleError(
                400,
                "document_parsing_exception",
                f"failed to parse field [{path}] of type [{kind}]",
            )


@dataclass
class User:
    """A user who may read the indices of a pattern, or do everything."""

    name: str
    reads: str = ""
    writes: bool = False

    def sees(self, index: str) -> bool:
        """Return True if the user may read an index."""
        return self.writes or fnmatch.fnmatch(index, self.reads)

    def check(self, index: str, action: str) -> None:
        """Raise the error of a server for an action that the user may not do."""
        if not self.writes and (
            not action.startswith("read") or not fnmatch.fnmatch(index, self.reads)
        ):
            raise DoubleError(
                403, "security_exception",
                f"action [indices:{action}] is unauthorized for user [{self.name}] on indices "
                f"[{index}], this action is granted by the index privileges [read,all]",
            )  # fmt: skip


class Store:
    """The data of a cluster; `answer` is its API."""

    def __init__(self, passwords: dict[str, tuple[str, User]], keys: dict[str, User]) -> None:
        self._passwords, self._keys = passwords, keys
        self._indices: dict[str, Index] = {}
        self._streams: dict[str, list[str]] = {}
        self._templates: dict[str, dict[str, Any]] = {}
        self.points: dict[str, DoublePit] = {}
        self._lock = threading.Lock()

    def answer(self, method: str, target: str, headers: Any, body: bytes) -> Reply:
        """Return the status and body of a server's response."""
        path, _, query = target.partition("?")
        params = {name: values[0] for name, values in parse_qs(query).items()}
        parts = [unquote(part) for part in path.strip("/").split("/")]
        try:
            with self._lock:
                user = self._user(headers.get("Authorization", ""))
                return 200, self._route(user, method, parts, params, body)
        except DoubleError as refused:
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
        raise DoubleError(401, "security_exception", f"unable to authenticate user [{name}]")

    def _route(
        self, user: User, method: str, parts: list[str], params: dict[str, str], body: bytes
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
                closed = self.points.pop(json.loads(body)["id"], None)
                return {"succeeded": True, "num_freed": int(closed is not None)}
            case "POST", ["_search"]:
                return self._search(json.loads(body))
            case "POST", [name, "_search"]:
                return self._search_plainly(user, name, json.loads(body))
            case "GET" | "POST", [name, "_field_caps"]:
                return self._field_caps(user, name, params, body)
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
        raise DoubleError(400, "illegal_argument_exception", f"no handler for {method} {parts}")

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
            ((kind, options),) = action.items()
            user.check(options["_index"], "data/write/bulk")
            try:
                self._written(options["_index"]).put(options.get("_id"), source)
                items.append({kind: {"status": 201}})
            except DoubleError as refused:
                items.append({kind: {"status": refused.status, "error": refused.reply[1]["error"]}})
        return {"errors": any("error" in next(iter(i.values())) for i in items), "items": items}

    def _written(self, name: str) -> Index:
        """The index that stores a document: a data stream's newest, created by its template."""
        if name in self._streams:
            return self._indices[self._streams[name][-1]]
        for template in self._templates.values():
            if any(fnmatch.fnmatch(name, pattern) for pattern in template["index_patterns"]):
                self._streams[name] = [f".ds-{name}-2026.05.06-000001"]
                mappings = template.get("template", {}).get("mappings", {})
                return self._create(self._streams[name][0], mappings)
        return self._indices.get(name) or self._create(name, {})

    def _indices_of(self, user: User, expression: str, action: str) -> list[Index]:
        indices: dict[str, Index] = {}
        for part in expression.split(","):
            names = [n for n in (*self._indices, *self._streams) if not n.startswith(".")]
            if "*" in part:  # a pattern skips indices that the user may not read
                hits = [
                    n
                    for n in fnmatch.filter(names, part)
                    if user.writes or fnmatch.fnmatch(n, user.reads)
                ]
            else:
                user.check(part, action)
                hits = [part]
                if part not in names:
                    raise DoubleError(404, "index_not_found_exception", f"no such index [{part}]")
            for hit in hits:
                indices |= {b: self._indices[b] for b in self._streams.get(hit, [hit])}
        return list(indices.values())

    def _resolve(self, user: User, pattern: str) -> dict[str, Any]:
        def seen(names: Any) -> list[dict[str, Any]]:
            names = [n for n in fnmatch.filter(names, pattern) if not n.startswith(".")]
            return [{"name": n} for n in names if user.sees(n)]

        return {"indices": seen(self._indices), "aliases": [], "data_streams": seen(self._streams)}

    def _field_caps(
        self, user: User, expression: str, params: dict[str, str], body: bytes
    ) -> dict[str, Any]:
        indices = self._indices_of(user, expression, "read/field_caps")
        names = json.loads(body)["fields"] if body else params["fields"].split(",")
        names = [names] if isinstance(names, str) else names
        paths = sorted(
            {p for i in indices for p in i.types for n in names if fnmatch.fnmatch(p, n)}
        )
        return {
            "indices": [index.name for index in indices],
            "fields": {p: _caps(p, indices, "include_unmapped" in params) for p in paths}
            | {n: {n: {"type": n, "metadata_field": True}} for n in METADATA if "*" in names},
        }

    def _open(self, user: User, expression: str) -> dict[str, Any]:
        indices = self._indices_of(user, expression, "read/open_point_in_time")
        docs = [doc for index in indices for doc in index.docs.values()]
        point = DoublePit(docs, {i.name: dict(i.types) for i in indices}, _point_id())
        self.points[point.id] = point
        return {"id": point.id, "_shards": _shards(len(indices))}

    def _search(self, body: dict[str, Any]) -> dict[str, Any]:
        point = self.points.pop(body["pit"]["id"], None)
        if point is None:
            raise DoubleError(404, "search_context_missing_exception", "No search context found")
        point.id = _point_id()
        self.points[point.id] = point
        docs, total = search(body, point)
        return {
            "pit_id": point.id, "took": 1, "timed_out": False, "_shards": _shards(len(point.types)),
            "hits": {"max_score": None, "hits": docs} | total,
        }  # fmt: skip

    def _search_plainly(self, user: User, name: str, body: dict[str, Any]) -> dict[str, Any]:
        """A search without a point in time, which cannot sort by _shard_doc."""
        if "pit" in body or any("_shard_doc" in each for each in body.get("sort", ())):
            reason = "[index] and [_shard_doc] cannot be used so with [point in time]"
            raise DoubleError(400, "illegal_argument_exception", reason)
        point = self._open(user, name)["id"]
        response = self._search({"sort": []} | body | {"pit": {"id": point}})
        del self.points[response.pop("pit_id")]
        return response


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
    for name, options in properties.items():
        if "properties" in options:
            yield from _types(options["properties"], f"{before}{name}.")
        else:
            yield f"{before}{name}", options["type"]


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


def _shards(indices: int) -> dict[str, Any]:
    total = indices * SHARDS
    return {"total": total, "successful": total, "skipped": 0, "failed": 0}


def _point_id() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(60)).decode()
