"""Discovery: the indices that a pattern matches, and the time field that orders their documents."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from elasticsearch import ApiError, Elasticsearch, NotFoundError

from functions.connectors.elasticsearch.elasticsearch_errors import NO_INDEX, is_of_kind
from functions.connectors.elasticsearch.pit_search import DATES, NUMBERS, TimeField
from functions.normalize.mapping import Time
from functions.normalize.strict_toml import SourceInvalid
from functions.normalize.time_bounds import unordered

__all__ = ["Discovery", "discover"]

PER_MS = {"epoch_s": 1e-3, "epoch_ms": 1.0, "epoch_us": 1e3, "epoch_ns": 1e6}
SHOWN = 10

Kinds = Mapping[str, Mapping[str, Any]]


class Discovery(NamedTuple):
    """The field that orders the documents, None while there are none; notes for the operator."""

    field: TimeField | None
    notes: tuple[str, ...] = ()


def discover(client: Elasticsearch, index: str, time: Time) -> Discovery:
    """Return the first field of `time` that orders the documents of `index`, a name or a pattern.

    Raises SourceInvalid when the index has fields, but none of `time` that sorts by time.
    """
    try:
        caps = client.field_caps(index=index, fields=list(time.fields), include_unmapped=True)
    except NotFoundError as error:
        if not is_of_kind(error, NO_INDEX):
            raise
        return Discovery(None, (_no_index(client, index),))
    if not caps["indices"]:
        return Discovery(None, (_no_index(client, index),))
    fields = caps["fields"]
    mapped = {name: fields[name] for name in time.fields if _is_mapped(fields, name)}
    if not mapped:
        return _without_time_field(client, index, time)
    return _first_sortable(mapped, index, time)


def _first_sortable(mapped: Mapping[str, Kinds], index: str, time: Time) -> Discovery:
    reasons = []
    for name, kinds in mapped.items():
        try:
            return Discovery(_time_field(name, kinds, time), _skipped_indices(name, kinds))
        except SourceInvalid as error:
            reasons.append(error)
    raise SourceInvalid(f"{index!r}: {reasons[0]}")


def _time_field(name: str, kinds: Kinds, time: Time) -> TimeField:
    types = set(kinds) - {"unmapped"}
    if types <= set(DATES):
        return TimeField(name)
    if types <= set(NUMBERS) and time.format in PER_MS:
        return TimeField(name, PER_MS[time.format])
    if types <= set(NUMBERS):
        raise SourceInvalid(str(unordered("number", name, time)))
    mapped_as = "; ".join(f"{kind}{_in(kinds[kind])}" for kind in sorted(types))
    raise SourceInvalid(
        f"the time field {name!r} is mapped as {mapped_as}, which does not sort by time: name "
        "another field in mapping.time.field, map it as date, or narrow connection.index"
    )


def _is_mapped(fields: Mapping[str, Kinds], name: str) -> bool:
    return bool(set(fields.get(name, ())) - {"unmapped"})


def _is_metadata(kinds: Kinds) -> bool:
    """Return True for a field of the server itself, such as `_id`."""
    return any(kind.get("metadata_field") for kind in kinds.values())


def _skipped_indices(name: str, kinds: Kinds) -> tuple[str, ...]:
    indices = kinds.get("unmapped", {}).get("indices")
    if not indices:
        return ()
    return (f"indices skipped because they have no field {name!r}: {_some(indices)}",)


def _without_time_field(client: Elasticsearch, index: str, time: Time) -> Discovery:
    """An index without any field has had no document yet, which is not an error."""
    fields: Mapping[str, Kinds] = client.field_caps(index=index, fields="*")["fields"]
    own = {name: kinds for name, kinds in fields.items() if not _is_metadata(kinds)}
    if not own:
        return Discovery(None)
    dates = [name for name, kinds in own.items() if set(kinds) & set(DATES)]
    available = f"its date fields are {_some(dates)}" if dates else "it has no date field"
    names = " or ".join(repr(name) for name in time.fields)
    raise SourceInvalid(
        f"mapping.time.field is {names}, which is not in the mapping of {index!r} ({available}): "
        "name a field of the index"
    )


def _no_index(client: Elasticsearch, index: str) -> str:
    names: list[str] = []
    with suppress(ApiError):  # a key that may not list indices can still read its own
        resolved = client.indices.resolve_index(name="*")
        names = [
            each["name"]
            for kind in ("data_streams", "aliases", "indices")
            for each in resolved.get(kind, ())
            if not each["name"].startswith(".")
        ]
    available = f"available: {_some(names)}" if names else "no other index is visible"
    return (
        f"no readable index or data stream matches {index!r} ({available}): check "
        "connection.index and the privileges, or wait for its first document, which creates it"
    )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(sorted(names)[:SHOWN]) + more


def _in(kind: Mapping[str, Any]) -> str:
    return f" in {_some(kind['indices'])}" if kind.get("indices") else ""
