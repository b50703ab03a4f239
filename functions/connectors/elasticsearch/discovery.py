"""What there is to read: the indices behind a pattern, and the time field that orders them."""

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
    """The field that orders the documents, None when there is nothing yet; and what to tell."""

    field: TimeField | None
    notes: tuple[str, ...] = ()


def discover(client: Elasticsearch, index: str, time: Time) -> Discovery:
    """Look at an index or a pattern.

    Raises SourceInvalid where no time field of it can be read in order.
    """
    try:
        told = client.field_caps(index=index, fields=list(time.fields), include_unmapped=True)
    except NotFoundError as error:
        if not is_of_kind(error, NO_INDEX):
            raise
        return Discovery(None, (_nothing(client, index),))
    if not told["indices"]:
        return Discovery(None, (_nothing(client, index),))
    found = {name: told["fields"][name] for name in time.fields if _mapped(told["fields"], name)}
    if not found:
        return _unmapped(client, index, time)
    return _first_in_order(found, index, time)


def _first_in_order(found: Mapping[str, Kinds], index: str, time: Time) -> Discovery:
    reasons = []
    for name, kinds in found.items():
        try:
            return Discovery(_field(name, kinds, time), _without(name, kinds))
        except SourceInvalid as error:
            reasons.append(error)
    raise SourceInvalid(f"{index!r}: {reasons[0]}")


def _field(name: str, kinds: Kinds, time: Time) -> TimeField:
    types = set(kinds) - {"unmapped"}
    if types <= set(DATES):
        return TimeField(name)
    if types <= set(NUMBERS) and time.format in PER_MS:
        return TimeField(name, PER_MS[time.format])
    if types <= set(NUMBERS):
        raise SourceInvalid(str(unordered("number", name, time)))
    where = "; ".join(f"{kind}{_in(kinds[kind])}" for kind in sorted(types))
    raise SourceInvalid(
        f"the time field {name!r} is mapped as {where}, which does not sort by time: name another "
        "in mapping.time.field, have it mapped as date, or write a narrower index"
    )


def _mapped(fields: Mapping[str, Kinds], name: str) -> bool:
    return bool(set(fields.get(name, ())) - {"unmapped"})


def _is_metadata(kinds: Kinds) -> bool:
    """Whether a field is the server's own, such as `_id`."""
    return any(kind.get("metadata_field") for kind in kinds.values())


def _without(name: str, kinds: Kinds) -> tuple[str, ...]:
    indices = kinds.get("unmapped", {}).get("indices")
    if not indices:
        return ()
    return (f"left out, because they have no field {name!r}: {_some(indices)}",)


def _unmapped(client: Elasticsearch, index: str, time: Time) -> Discovery:
    """No error for an index that has had no document yet, and so no fields."""
    found: Mapping[str, Kinds] = client.field_caps(index=index, fields="*")["fields"]
    own = {name: kinds for name, kinds in found.items() if not _is_metadata(kinds)}
    if not own:
        return Discovery(None)
    dates = [name for name, kinds in own.items() if set(kinds) & set(DATES)]
    there = f"; date fields are {_some(dates)}" if dates else "; it has no date field"
    names = " or ".join(repr(name) for name in time.fields)
    raise SourceInvalid(
        f"mapping.time.field is {names}, which {index!r} does not have in its mapping{there}: "
        "write one that it has"
    )


def _nothing(client: Elasticsearch, index: str) -> str:
    names: list[str] = []
    with suppress(ApiError):  # a key that may not list them still reads what it may
        told = client.indices.resolve_index(name="*")
        names = [
            each["name"]
            for kind in ("data_streams", "aliases", "indices")
            for each in told.get(kind, ())
            if not each["name"].startswith(".")
        ]
    there = f"there are {_some(names)}" if names else "nothing else can be seen"
    return (
        f"no index or data stream {index!r} that may be read, {there}: check connection.index and "
        "the privileges, or wait until the first document makes it"
    )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(sorted(names)[:SHOWN]) + more


def _in(kind: Mapping[str, Any]) -> str:
    return f" in {_some(kind['indices'])}" if kind.get("indices") else ""
