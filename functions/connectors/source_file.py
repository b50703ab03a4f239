"""Source file: `sources/NAME.toml` in the data folder, decoded and checked as a whole."""

import hashlib
import importlib
import re
import tomllib
from dataclasses import dataclass
from importlib import metadata
from types import ModuleType
from typing import Any, Literal, get_type_hints

import msgspec

from functions.connectors.connector import Connector, ReadOptions
from functions.normalize.devices import STOCK_RULES, DeviceRules
from functions.normalize.mapping import Mapping, read_mapping
from functions.normalize.strict_toml import SourceInvalid, decode_strict
from functions.normalize.unclear_names import unclear_fields
from storage.config.folders import Folders
from storage.model.names import check_name
from storage.model.periods import parse_period
from storage.model.schema import STOCK, Schema

__all__ = ["SourceConfig", "parse_source_toml", "read_source", "source_from_dict"]

NAME = re.compile(r"[a-z][a-z0-9_-]{0,49}")


class SourceFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The keys of a source file; those of `connection` depend on its kind."""

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
                raise ValueError(f"{key}: {error}") from None
        if self.site is not None:
            check_name("site", self.site, "write another name for the site")


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """A checked source: its name, its connector with the connection's keys, and its mapping."""

    name: str
    file: SourceFile
    adapter: ModuleType
    connection: msgspec.Struct
    mapping: Mapping
    options: ReadOptions

    def connect(self) -> Connector:
        """Open the connector; raises Unreachable with the reason when the source does not answer.

        Raises SourceInvalid when a secret or a certificate that the file names cannot be read.
        """
        connector: Connector = self.adapter.connect(self.connection, self.options)
        return connector


def read_source(
    name: str,
    text: bytes,
    folders: Folders,
    schema: Schema = STOCK,
    rules: DeviceRules = STOCK_RULES,
) -> SourceConfig:
    """Return the source that the file NAME.toml with content `text` describes.

    Raises SourceInvalid with the key, its value and the remedy.
    """
    if not NAME.fullmatch(name):
        raise SourceInvalid(
            f"{name!r} is not a valid source name (expected up to 50 lower-case letters, digits, "
            "'_' and '-', starting with a letter): rename the file"
        )
    return source_from_dict(name, parse_source_toml(text), folders, schema, rules)


def source_from_dict(
    name: str,
    raw: dict[str, Any],
    folders: Folders,
    schema: Schema = STOCK,
    rules: DeviceRules = STOCK_RULES,
) -> SourceConfig:
    """Return the source that the parsed content of a file describes; errors like `read_source`."""
    file: SourceFile = decode_strict(raw, SourceFile)
    adapter = importlib.import_module(f"functions.connectors.{file.kind}")
    connection = decode_strict(file.connection, connection_type(adapter), "connection")
    raw_mapping = _default_mapping(adapter) | file.mapping
    mapping = read_mapping(raw_mapping, schema.metrics)
    assert mapping.time is not None
    if mapping.columns is not None and file.kind != "files":
        raise SourceInvalid(
            f"mapping.columns is about the columns of files, and kind is {file.kind!r}: leave it "
            "out"
        )
    options = ReadOptions(
        name, folders, mapping.time.ordering, (*mapping.paths, *unclear_fields(mapping)),
        parse_period(file.every), parse_period(file.history), rules=rules, limits=schema.times,
        reader=_fingerprint(raw_mapping, file.site),
        shaped=bool(mapping.records or mapping.columns),
    )  # fmt: skip
    return SourceConfig(name, file, adapter, connection, mapping, options)


def connection_type(connector: ModuleType) -> type[msgspec.Struct]:
    """Return the struct that a connector's `connect` takes as its `connection`."""
    declared: type[msgspec.Struct] = get_type_hints(connector.connect)["connection"]
    return declared


def _fingerprint(mapping: dict[str, Any], site: str | None) -> str:
    """The fingerprint of what makes rows of documents; see ReadOptions.reader."""
    try:
        version = metadata.version("hoursight")
    except metadata.PackageNotFoundError:  # run from a checkout that is not installed
        version = ""
    text = msgspec.json.encode((version, mapping, site), order="sorted")
    return hashlib.blake2b(text, digest_size=8).hexdigest()


def _default_mapping(adapter: ModuleType) -> dict[str, Any]:
    """What a source's [mapping] starts from: the connector's MAPPING where it has one."""
    defaults: dict[str, Any] = getattr(adapter, "MAPPING", {})
    return defaults


def parse_source_toml(text: bytes) -> dict[str, Any]:
    """Return the content of a source file; raises SourceInvalid when it is not valid TOML."""
    try:
        return tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SourceInvalid(f"the file is not valid TOML: {error}") from error
