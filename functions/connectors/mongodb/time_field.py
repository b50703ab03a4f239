"""Time field of a collection: the kinds of its values, and in words why documents are skipped."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from bson import ObjectId, Timestamp
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from pymongo.collection import Collection

__all__ = [
    "KINDS", "TYPES", "UNKNOWN", "Document", "as_time", "first_value", "kind_of", "no_time",
    "set_at", "skipped", "type_counts", "value_at",
]  # fmt: skip

Document = dict[str, Any]

# The kinds of value that a time field may have; MongoDB compares only values of one kind.
KINDS = {
    "date": "date", "text": "string", "number": "number", "timestamp": "timestamp",
    "object id": "objectId",
}  # fmt: skip
TYPES: dict[str, tuple[type, ...]] = {
    "date": (datetime, DatetimeMS), "text": (str,), "number": (int, float, Decimal128),
    "timestamp": (Timestamp,), "object id": (ObjectId,),
}  # fmt: skip
# As the aggregation operator $type names them; the others are not times.
_KIND_OF = {name: kind for kind, name in KINDS.items()} | dict.fromkeys(
    ("int", "long", "double", "decimal"), "number"
)
_NO_TIMES = ("null", "array", "object", "bool", "binData", "regex", "minKey", "maxKey")
_COUNTED = 1000
# Stands for documents that could not be looked through within the timeout.
UNKNOWN = "unknown"
_SHOWN = 8


def as_time(value: Any) -> Any:
    """A BSON timestamp or an object id as the time that it holds; any other value as it is."""
    if isinstance(value, Timestamp):
        return value.as_datetime()
    return value.generation_time if isinstance(value, ObjectId) else value


def value_at(document: Mapping[str, Any], path: str) -> Any:
    """Return the value at a key, or at a dotted path; None where there is none."""
    if path in document:
        return document[path]
    value: Any = document
    for step in path.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


def set_at(document: Document, path: str, value: Any) -> None:
    """Replace the value that `value_at` returns."""
    *parents, last = [path] if path in document else path.split(".")
    for step in parents:
        document = document[step]
    document[last] = value


def first_value(document: Mapping[str, Any], path: str) -> tuple[Any, str | None]:
    """The value at a path through the first elements of lists, and the path of the first list."""
    value: Any = document
    inside: str | None = None
    steps = [path] if path in document else path.split(".")
    for place, step in enumerate(steps):
        value = value.get(step) if isinstance(value, Mapping) else None
        if isinstance(value, list):
            inside = inside or ".".join(steps[: place + 1])
            value = value[0] if value else None
    return value, inside


def type_counts(
    collection: Collection[Document], field: str, unwind: str | None, indexed: bool, timeout_ms: int
) -> dict[str, int]:
    """How many documents hold a value of each kind in the field, or of a type that is not a time.

    By the index, one of each kind is looked for; without one, a single scan counts all. The type
    "missing" stands for no value. Raises ExecutionTimeout.
    """
    if indexed:
        counts = _by_index(collection, field, timeout_ms)
        return counts if unwind else counts | _no_times(collection, field, timeout_ms)
    stages: list[Mapping[str, Any]] = [{"$unwind": f"${unwind}"}] if unwind else []
    stages.append({"$group": {"_id": {"$type": f"${field}"}, "count": {"$sum": 1}}})
    counts = {}
    for group in collection.aggregate(stages, maxTimeMS=timeout_ms):
        kind = str(_KIND_OF.get(group["_id"], group["_id"]))
        counts[kind] = counts.get(kind, 0) + group["count"]
    return counts


def _by_index(collection: Collection[Document], field: str, timeout_ms: int) -> dict[str, int]:
    known = {}
    for kind, name in KINDS.items():
        condition = {field: {"$type": name}}
        if collection.find_one(condition, {"_id": 1}, max_time_ms=timeout_ms) is not None:
            known[kind] = 1
    return known


def _no_times(collection: Collection[Document], field: str, timeout_ms: int) -> dict[str, int]:
    def count(condition: Mapping[str, Any]) -> int:
        return collection.count_documents(condition, limit=_COUNTED, maxTimeMS=timeout_ms)

    counts = {name: count({field: {"$type": name}}) for name in _NO_TIMES}
    counts["missing"] = count({field: None}) - counts["null"]
    return {name: number for name, number in counts.items() if number > 0}


def kind_of(value: Any) -> str | None:
    """The kind of time that a value may be; None for a type that is not a time."""
    if isinstance(value, bool):
        return None
    return next((kind for kind, types in TYPES.items() if isinstance(value, types)), None)


def skipped(counts: Mapping[str, int], field: str) -> Iterator[str]:
    """A sentence for each of these types of value in the field, none of them a time."""
    for kind, count in sorted(counts.items()):
        if kind == UNKNOWN:
            yield (
                f"only times such as that of the newest document are read: the kinds of {field!r} "
                "could not be counted within the timeout; have an index created on it"
            )
            continue
        documents = f"{count:,} documents" if count > 1 else "1 document"
        if count >= _COUNTED:
            documents = f"{documents} or more"
        what = f"{field!r} is {kind}" if kind in ("missing", "null") else f"{field!r} holds {kind}"
        yield f"{documents} skipped: {what}, expected a time"


def no_time(place: str, newest: Document, fields: Sequence[str], unwind: str | None) -> str:
    """Why no document can be read by any of the time `fields`, what there is, and the remedy."""
    for field in fields:
        plain = field.replace("[0]", "").replace("[]", "")
        value, inside = first_value(newest, plain)
        if inside is not None and inside != unwind and value is not None:
            return _in_array(place, inside, plain)
    wanted = " or ".join(map(repr, fields))
    there = ", ".join(_described(newest)[:_SHOWN])
    text = f"no document of {place} has a time in {wanted}; the newest has {there}"
    for array, field in _arrays(newest, fields):
        return f"{text}: {_remedy(array, f'{array}.{field}')}"
    text = f"{text}: name the field that holds the time in mapping.time.field"
    if isinstance(newest.get("_id"), ObjectId):
        text += "; '_id' holds the time of the insert, in seconds"
    return text


def _in_array(place: str, array: str, field: str) -> str:
    return f"in {place} the time {field!r} lies in the array {array!r}: {_remedy(array, field)}"


def _remedy(array: str, field: str) -> str:
    return (
        f"write unwind = {array!r} in [connection] and field = {field!r} in [mapping.time], and "
        f"name the metrics by their path too, such as {array + '.cpu'!r}"
    )


def _arrays(document: Document, fields: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Arrays of documents that have one of the fields, and that field."""
    for name, value in document.items():
        first = value[0] if isinstance(value, list) and value else None
        if isinstance(first, Mapping):
            yield from ((name, field) for field in fields if field in first)


def _described(document: Document) -> list[str]:
    """The fields with the kinds of their values."""
    return [f"{name} ({_described_value(value)})" for name, value in document.items()]


def _described_value(value: Any) -> str:
    if isinstance(value, list):
        return f"array of {len(value)}"
    if isinstance(value, Mapping):
        return "document"
    return kind_of(value) or type(value).__name__
