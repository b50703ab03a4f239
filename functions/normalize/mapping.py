"""A mapping as data: which source fields become which metrics, and in which units they are."""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from functools import cache
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from functions.normalize.mapping_parts import (
    ColumnPattern,
    Cores,
    Names,
    Text,
    Unmapped,
    Where,
    names_in,
)
from functions.normalize.stock_mappings import stock_names, stock_toml
from functions.normalize.strict_toml import SourceInvalid, decode_strict
from functions.normalize.units import UNITS, fits, stock_unit
from storage.model.metrics import METRICS, Metric
from storage.model.periods import parse_period

__all__ = [
    "ColumnPattern", "Field", "Mapping", "ServerNotNamed", "Text", "Time", "Unmapped", "Where",
    "read_mapping", "stock_entries",
]  # fmt: skip

_EPOCHS = ("epoch_s", "epoch_ms", "epoch_us", "epoch_ns")
# Where the time of day begins in a pattern.
_TIME_OF_DAY = re.compile(r"%[HIMSfpTXR]")


class Time(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The time of a document: its `field` (or several, in order), format and zone.

    Where the time of day is in a field of its own, `date` and `time` name both instead: `format` is
    that of both with a space between them.
    """

    field: Names = ()
    format: str = "iso"
    zone: str | None = None  # of times without their own
    date: str = ""
    time: str = ""

    def __post_init__(self) -> None:
        self._check_fields()
        if self.format not in ("iso", *_EPOCHS) and "%" not in self.format:
            raise ValueError(
                f"time.format is {self.format!r}: write iso, {', '.join(_EPOCHS)} or a pattern "
                "such as '%d.%m.%Y %H:%M:%S'"
            )
        if self.zone is not None:
            try:
                ZoneInfo(self.zone)
            except (ZoneInfoNotFoundError, ValueError, OSError):
                raise ValueError(
                    f"time.zone is {self.zone!r}: write a name such as 'UTC' or 'Europe/Berlin'"
                ) from None

    def _check_fields(self) -> None:
        if self.field and (self.date or self.time):
            raise ValueError(
                f"field is {self.field!r}, beside date and time: write field where one column has "
                "the whole time, else date and time"
            )
        if bool(self.date) != bool(self.time):
            there, missing = ("date", "time") if self.date else ("time", "date")
            raise ValueError(
                f"{there} is {self.date or self.time!r}, and {missing} is missing: write the "
                "columns of both"
            )
        if not self.fields:
            raise ValueError("field is missing: write it, or date and time where these are two")
        if self.date and self.format in _EPOCHS:
            raise ValueError(
                f"format is {self.format!r}, a number, and date and time are two columns: write "
                "iso or a pattern such as '%d.%m.%Y %H:%M:%S'"
            )

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the field, in the order in which they are tried; or those of both parts."""
        return (self.date, self.time) if self.date else names_in(self.field)

    @property
    def about(self) -> str:
        """The names of the field for a message."""
        return (" and " if self.date else " or ").join(self.fields)

    @property
    def ordering(self) -> "Time":
        """The time by which a source can sort its documents: the date, where it is on its own."""
        if not self.date:
            return self
        days = _TIME_OF_DAY.split(self.format)[0].rstrip(" T,")
        return Time(field=self.date, format=days or self.format, zone=self.zone)


class Field(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a metric comes from.

    `field` is a path (`system.load.1`, `disks[0].used`, `disks[].used`), or several that are tried
    in order; of several elements `take` makes one value. The fields in `plus` are added. `of`
    divides by another field, which makes a share; the `complement` is what is left to 100 %. A
    `counter` only grows: the metric is its difference by time. Of an amount in every period, `per`
    is the period. Only records that match `where` count. Where documents of one server are
    gathered, `each` names the field that tells several of one kind apart (network links, volumes),
    `except_` its values that do not count, and `combine` makes one value of them; of a list, `each`
    names that field of its elements. With `real` only volumes or links count that the table of
    devices says; `type` names the field with their file system.
    """

    field: Names
    unit: str = ""
    take: Literal["max", "min", "sum", "mean"] | None = None
    of: str | None = None
    plus: Names = ()
    complement: bool = False
    counter: bool = False
    per: str = ""
    where: Where = {}
    each: str | None = None
    except_: tuple[str, ...] = msgspec.field(default=(), name="except")
    real: Literal["volumes", "links"] | None = None
    type: str | None = None
    combine: Literal["max", "min", "sum", "mean"] = "mean"

    def __post_init__(self) -> None:
        if self.unit and self.unit not in UNITS:
            raise ValueError(f"unit is {self.unit!r}: write one of {', '.join(UNITS)}")
        if self.except_ and not self.each:
            raise ValueError("except names values of the field in each, which is missing: write it")
        if self.per:
            _check_period("per", self.per)
        if self.counter and (self.per or self.complement):
            extra = "per" if self.per else "complement"
            raise ValueError(f"{extra} does not fit a counter: leave one of the two out")
        self._check_real()
        if self.take is None and any("[]" in name for name in self.fields):
            raise ValueError(f"field is {self.field!r}, a list: write take, such as take = 'max'")

    def _check_real(self) -> None:
        if self.real and not self.each:
            raise ValueError(
                "real tells values of the field in each apart, which is missing: write it"
            )
        if self.type and self.real != "volumes":
            raise ValueError("type names the file system of a volume: write real = 'volumes' too")
        if self.real == "volumes" and self.of_list:
            raise ValueError("real = 'volumes' does not fit elements of a list: write except")

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the field, in the order in which they are tried."""
        return names_in(self.field)

    @property
    def plus_fields(self) -> tuple[str, ...]:
        """The fields that are added."""
        return names_in(self.plus)

    @property
    def per_s(self) -> float:
        """Seconds of the period in which an amount came; 0 where it is not an amount."""
        return parse_period(self.per).total_seconds() if self.per else 0.0

    @property
    def is_amount(self) -> bool:
        """Whether its unit is one of an amount, which is divided by time."""
        return self.counter or bool(self.per)

    @property
    def of_list(self) -> bool:
        """Whether `each` names elements of a list."""
        return self.each is not None and "[]" in self.each


class Mapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Source fields to metrics. What a mapping leaves out is taken from its `stock` mapping.

    `records` is the path of the records where a document holds many (`hosts[].statistics[]`), or
    several that are tried; fields of what is around them belong to each. Only records that match
    `where` count. `decimal` is the sign before the fraction of numbers that are text. `disk_volume`
    and `net_links` say what disk usage and traffic are of. With `gather` the documents of a server
    within the same span of the clock become one row, once it is over since `settle`.
    """

    stock: str = "flat"
    records: Names = ()
    columns: ColumnPattern | None = None
    where: Where = {}
    decimal: Literal["", ".", ","] = ""
    time: Time | None = None
    server: Text = Text()
    profile: Text = Text()
    site: Text = Text()
    cores: Cores = Cores()
    disk_volume: Text = Text()
    net_links: Text = Text()
    gather: str | None = None
    settle: str = "5s"
    metrics: dict[str, Field | tuple[Field, ...]] = {}
    unmapped: tuple[Unmapped, ...] = ()

    def __post_init__(self) -> None:
        _check_period("gather", self.gather or "1s")
        _check_period("settle", self.settle)
        known = ("none", *stock_names())
        if self.stock not in known:
            raise ValueError(f"stock is {self.stock!r} (expected one of {', '.join(known)})")

    @property
    def entries(self) -> dict[str, tuple[Field, ...]]:
        """The fields of each metric, in the order in which they are tried."""
        return {n: f if isinstance(f, tuple) else (f,) for n, f in self.metrics.items()}

    @property
    def period(self) -> timedelta | None:
        """The span in which documents are gathered."""
        return parse_period(self.gather) if self.gather else None

    @property
    def paths(self) -> tuple[str, ...]:
        """Every path that it may read, once each."""
        return tuple(dict.fromkeys(self._paths()))

    def _paths(self) -> Iterator[str]:
        facts = (self.profile, self.site, self.cores, self.disk_volume, self.net_links)
        for part in (self.time, self.server, *facts):
            yield from part.fields if part else ()
        yield from self.where
        yield from (re.split(r"[.\[]", path)[0] for path in names_in(self.records))
        for field in (each for fields in self.entries.values() for each in fields):
            yield from (*field.fields, *field.plus_fields, *field.where)
            yield from filter(None, (field.of, field.each, field.type))


class ServerNotNamed(SourceInvalid):
    """A mapping that does not say which server a record is of."""


def read_mapping(raw: dict[str, Any], metrics: Sequence[Metric] = METRICS) -> Mapping:
    """Return the mapping of a source file, completed from its stock mapping.

    Raises SourceInvalid with the key, the value and the remedy.
    """
    entries = raw.get("metrics")
    for name, entry in entries.items() if isinstance(entries, dict) else ():
        decode_strict(entry, Field | tuple[Field, ...], f"mapping.metrics.{name}")
    mapping: Mapping = decode_strict(raw, Mapping, "mapping")
    base = _stock(mapping.stock)
    merged = base | {
        name: getattr(mapping, name) for name in Mapping.__struct_fields__ if name in raw
    }
    merged["metrics"] = base.get("metrics", {}) | mapping.metrics
    merged["stock"] = mapping.stock
    whole = Mapping(**merged)
    _check(whole, {m.name: m for m in metrics})
    return msgspec.structs.replace(whole, metrics=_with_units(whole, metrics))


def stock_entries(stock: str) -> dict[str, tuple[Field, ...]]:
    """The fields of each metric in a stock mapping, units as they are written there."""
    return Mapping(metrics=_stock(stock).get("metrics", {})).entries


@cache
def _stock(name: str) -> dict[str, Any]:
    if name == "none":
        return {}
    raw = stock_toml(name).mapping
    mapping: Mapping = decode_strict(raw, Mapping, f"stock mapping {name}")
    return {key: getattr(mapping, key) for key in raw}


def _with_units(mapping: Mapping, metrics: Iterable[Metric]) -> dict[str, tuple[Field, ...]]:
    known = {m.name: m for m in metrics}
    return {
        name: tuple(
            msgspec.structs.replace(
                f, unit=f.unit or ("fraction" if f.of else stock_unit(known[name]))
            )
            for f in fields
        )
        for name, fields in mapping.entries.items()
    }


def _check(mapping: Mapping, metrics: dict[str, Metric]) -> None:
    if mapping.time is None:
        raise SourceInvalid('mapping.time is missing: write time = { field = "…" }')
    if not mapping.server.fields and not mapping.server.fixed:
        raise ServerNotNamed(
            'mapping.server is missing: write server = { field = "…" }, or server = { fixed = "…" }'
        )
    if not mapping.metrics:
        raise SourceInvalid(
            "mapping.metrics is empty: write at least one metric, such as "
            "mapping.metrics.cpu_idle_pct = { field = 'value' }"
        )
    for name, fields in mapping.entries.items():
        if name not in metrics:
            raise SourceInvalid(
                f"mapping.metrics.{name} is not a metric (expected one of {', '.join(metrics)})"
            )
        for field in fields:
            _check_field(f"mapping.metrics.{name}", field, metrics[name], mapping)


def _check_field(where: str, field: Field, metric: Metric, mapping: Mapping) -> None:
    unit = field.unit or ("fraction" if field.of else stock_unit(metric))
    if field.is_amount and not field.unit:
        kind = "a counter" if field.counter else "an amount per period"
        raise SourceInvalid(f"{where} is {kind}: write its unit, such as unit = 'bytes'")
    if field.complement and metric.unit != "%":
        raise SourceInvalid(f"{where}.complement is what is left to 100 %: it needs a share")
    if field.of and (field.is_amount or unit != "fraction" or metric.unit != "%"):
        raise SourceInvalid(f"{where}.of makes a share, in percent: leave unit and counter out")
    possible = fits(metric, unit, field.is_amount)
    if possible:
        plainly = " of a counter" if field.counter else " of an amount per period"
        plainly = plainly if field.is_amount else ""
        raise SourceInvalid(
            f"{where}.unit is {unit!r}, from which no {metric.unit or 'number'}{plainly} can be "
            f"made: write one of {', '.join(possible)}"
        )
    if field.each and not field.of_list and mapping.gather is None:
        raise SourceInvalid(
            f"{where}.each tells documents apart that are gathered: write mapping.gather too, such "
            "as gather = '10s'"
        )


def _check_period(key: str, text: str) -> None:
    try:
        parse_period(text)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None
