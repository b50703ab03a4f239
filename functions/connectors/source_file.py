"""A source file: `sources/NAME.toml` in the data folder, read whole or refused in words."""

import importlib
import re
import tomllib
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal, get_type_hints

import msgspec

from functions.connectors.connector import Connector, ReadOptions
from functions.normalize.mapping import Mapping, read_mapping
from functions.normalize.strict_toml import SourceInvalid, decode_strict
from storage.config.folders import Folders
from storage.model.names import check_name
from storage.model.periods import parse_period
from storage.model.schema import STOCK, Schema

__all__ = ["SourceConfig", "parsed", "read_source", "source_of"]

NAME = re.compile(r"[a-z][a-z0-9_-]{0,49}")


class SourceFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The keys of a source file; `connection` is the adapter's own."""

    kind: Literal["mongodb", "elasticsearch", "prometheus", "files"]
    enabled: bool = True
    every: str = "5s"
    history: str = "1d"
    site: str | None = None
    connection: dict[str, Any] = {}
    mapping: dict[str, Any] = {}

    def __post_init__(self) -> None:
        for key in ("every", "history"):
            try:
                parse_period(getattr(self, key))
            except ValueError as error:
                raise ValueError(f"{key} is {error}") from None
        if self.site is not None:
            check_name("site", self.site, "write another name of the site")


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """One source, checked: what it is called, how often it is asked, how its fields are read."""

    name: str
    file: SourceFile
    adapter: ModuleType
    connection: msgspec.Struct
    mapping: Mapping
    wanted: ReadOptions

    def connect(self) -> Connector:
        """Open it; Unreachable says why it does not answer."""
        feed: Connector = self.adapter.connect(self.connection, self.wanted)
        return feed


def read_source(name: str, text: bytes, folders: Folders, schema: Schema = STOCK) -> SourceConfig:
    """The source that a file holds; SourceInvalid names the key, the value and the remedy."""
    if not NAME.fullmatch(name):
        raise SourceInvalid(
            f"{name!r} is no name for a source: call the file by small letters, digits, '_' and "
            "'-', a letter first"
        )
    return source_of(name, parsed(text), folders, schema)


def source_of(
    name: str, raw: dict[str, Any], folders: Folders, schema: Schema = STOCK
) -> SourceConfig:
    """The source that the content of a file describes; SourceInvalid like `read_source`."""
    file: SourceFile = decode_strict(raw, SourceFile)
    adapter = importlib.import_module(f"functions.connectors.{file.kind}")
    connection = decode_strict(file.connection, connection_type(adapter), "connection")
    mapping = read_mapping(_defaults(adapter) | file.mapping, schema.metrics)
    assert mapping.time is not None
    wanted = ReadOptions(
        name, folders, mapping.time, mapping.paths, parse_period(file.every),
        parse_period(file.history),
    )  # fmt: skip
    return SourceConfig(name, file, adapter, connection, mapping, wanted)


def connection_type(connector: ModuleType) -> type[msgspec.Struct]:
    """Return the struct that a connector's `connect` takes as its `connection`."""
    declared: type[msgspec.Struct] = get_type_hints(connector.connect)["connection"]
    return declared


def _defaults(adapter: ModuleType) -> dict[str, Any]:
    """What an adapter's mapping starts from, such as its own stock mapping."""
    defaults: dict[str, Any] = getattr(adapter, "MAPPING", {})
    return defaults


def parsed(text: bytes) -> dict[str, Any]:
    """The content of a source file; SourceInvalid when it is no TOML."""
    try:
        return tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SourceInvalid(f"it is no TOML: {error}") from error
