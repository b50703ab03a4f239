"""Mapping of `hoursight import`: of a source file or a stock mapping, with what options state."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from functions.connectors.source_file import parse_source_toml
from functions.normalize.stock_mappings import stock_names, stock_toml
from storage.errors import HoursightError

__all__ = ["ImportOptions", "UnknownMapping", "mapping_source"]

# What the value is called where a mapping makes records of columns, and in Grafana's rows.
VALUE_FIELDS = ("value", "Value")


class UnknownMapping(HoursightError):
    """Neither a source file nor a stock mapping; the message names those that there are."""


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What options of the command state about a file; empty where they are not given."""

    server: str = ""
    metric: str = ""
    unit: str = ""
    time_format: str = ""
    time_zone: str = ""
    decimal: str = ""
    delimiter: str = ""
    encoding: str = ""


def mapping_source(like: str | Path | None, options: ImportOptions) -> dict[str, Any]:
    """The content of a source file for an import. Raises UnknownMapping, SourceInvalid."""
    raw = _source(like)
    mapping: dict[str, Any] = dict(raw.get("mapping", {}))
    if options.server:
        mapping["server"] = {"fixed": options.server}
    if options.metric:
        field = {"field": VALUE_FIELDS} | ({"unit": options.unit} if options.unit else {})
        mapping["metrics"] = {**mapping.get("metrics", {}), options.metric: field}
    if options.time_format or options.time_zone:
        stated = {"format": options.time_format, "zone": options.time_zone}
        mapping["time"] = _time(mapping) | {key: text for key, text in stated.items() if text}
    if options.decimal:
        mapping["decimal"] = options.decimal
    connection = dict(raw.get("connection", {})) if raw.get("kind") == "files" else {}
    form = {"delimiter": options.delimiter, "encoding": options.encoding}
    connection |= {key: text for key, text in form.items() if text}
    site = {"site": raw["site"]} if "site" in raw else {}
    return {"kind": "files", "connection": connection, "mapping": mapping, **site}


def _source(like: str | Path | None) -> dict[str, Any]:
    if like is None:
        return {}
    if str(like) in stock_names():
        return {"mapping": {"stock": str(like)}}
    if not Path(like).is_file():
        raise UnknownMapping(
            f"--like is '{like}' (expected a source file, or one of {', '.join(stock_names())})"
        )
    return parse_source_toml(Path(like).read_bytes())


def _time(mapping: dict[str, Any]) -> dict[str, Any]:
    """The time of a mapping, else that of its stock mapping."""
    stock = mapping.get("stock", "flat")
    base = stock_toml(stock).mapping if stock in stock_names() else {}
    time: dict[str, Any] = mapping.get("time", base.get("time", {}))
    return dict(time)
