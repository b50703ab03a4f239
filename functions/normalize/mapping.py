"""A mapping as data: which source fields become which metrics, and in which units they are."""

import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from functions.normalize.strict_toml import SourceInvalid, decode_strict
from functions.normalize.units import UNITS, fits, stock_unit
from storage.model.metrics import METRICS, Metric
from storage.model.periods import parse_period

__all__ = ["Field", "Mapping", "Text", "Time", "read_mapping"]

STOCK = Path(__file__).parent / "stock"
_EPOCHS = ("epoch_s", "epoch_ms", "epoch_us", "epoch_ns")
# Where the time of day begins in a pattern.
_TIME_OF_DAY = re.compile(r"%[HIMSfpTXR]")
Names = str | tuple[str, ...]


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
        return (self.date, self.time) if self.date else _names(self.field)

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


class Text(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A text of a document, such as its server: the first of the fields that there is.

    With `prefix` it is what follows it, in a tag of a list too (`site:` of ["site:fra1"]);
    `values` puts other words in the place of the source's.
    """

    field: Names = ()
    prefix: str = ""
    values: dict[str, str] = {}

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the field, in the order in which they are tried."""
        return _names(self.field)


class Cores(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Logical CPUs of a server: a field, or one number for all."""

    field: Names = ()
    number: int | None = None

    def __post_init__(self) -> None:
        if self.number is not None and self.number < 1:
            raise ValueError(
                f"cores.number is {self.number}: write how many logical CPUs there are"
            )

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the field, in the order in which they are tried."""
        return _names(self.field)


class Field(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a metric comes from.

    `field` is a path (`system.load.1`, `disks[0].used`, `disks[].used`), or several that are tried
    in order; of several elements `take` makes one value. `of` divides by another field, which makes
    a share. A `counter` only grows: the metric is its difference by time. Where documents of one
    server are gathered, `each` names the field that tells several of one kind apart (network links,
    volumes), `except_` its values that do not count, and `combine` makes one value of them. With
    `real` only volumes or links count that the table of devices says; `type` names the field with
    their file system.
    """

    field: Names
    unit: str = ""
    take: Literal["max", "min", "sum", "mean"] | None = None
    of: str | None = None
    counter: bool = False
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
        if self.real and not self.each:
            raise ValueError(
                "real tells values of the field in each apart, which is missing: write it"
            )
        if self.type and self.real != "volumes":
            raise ValueError("type names the file system of a volume: write real = 'volumes' too")
        if self.take is None and any("[]" in name for name in self.fields):
            raise ValueError(f"field is {self.field!r}, a list: write take, such as take = 'max'")

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the field, in the order in which they are tried."""
        return _names(self.field)


class Mapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Source fields to metrics. What a mapping leaves out is taken from its `stock` mapping.

    `disk_volume` and `net_links` say what disk usage and traffic are of.

    With `gather` the documents of a server within the same span of the clock become one row, once
    it is over since `settle`.
    """

    stock: Literal["flat", "metricbeat", "none"] = "flat"
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

    def __post_init__(self) -> None:
        for key in ("gather", "settle"):
            try:
                parse_period(getattr(self, key) or "1s")
            except ValueError as error:
                raise ValueError(f"{key}: {error}") from None

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
        for field in (each for fields in self.entries.values() for each in fields):
            yield from field.fields
            yield from filter(None, (field.of, field.each, field.type))


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


@cache
def _stock(name: str) -> dict[str, Any]:
    if name == "none":
        return {}
    raw = tomllib.loads((STOCK / f"{name}.toml").read_text())
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
    if not mapping.server.fields:
        raise SourceInvalid('mapping.server is missing: write server = { field = "…" }')
    if not mapping.metrics:
        raise SourceInvalid("mapping.metrics is empty: write at least one metric")
    for name, fields in mapping.entries.items():
        if name not in metrics:
            raise SourceInvalid(
                f"mapping.metrics.{name} is not a metric (expected one of {', '.join(metrics)})"
            )
        for field in fields:
            _check_field(f"mapping.metrics.{name}", field, metrics[name], mapping)


def _check_field(where: str, field: Field, metric: Metric, mapping: Mapping) -> None:
    unit = field.unit or ("fraction" if field.of else stock_unit(metric))
    if field.counter and not field.unit:
        raise SourceInvalid(f"{where} is a counter: write its unit, such as unit = 'bytes'")
    if field.of and (field.counter or unit != "fraction" or metric.unit != "%"):
        raise SourceInvalid(f"{where}.of makes a share, in percent: leave unit and counter out")
    possible = fits(metric, unit, field.counter)
    if possible:
        plainly = " of a counter" if field.counter else ""
        raise SourceInvalid(
            f"{where}.unit is {unit!r}, from which no {metric.unit or 'number'}{plainly} can be "
            f"made: write one of {', '.join(possible)}"
        )
    if field.each and mapping.gather is None:
        raise SourceInvalid(
            f"{where}.each tells documents apart that are gathered: write mapping.gather too, such "
            "as gather = '10s'"
        )


def _names(field: Names) -> tuple[str, ...]:
    return field if isinstance(field, tuple) else (field,) if field else ()
