"""The settings of one data folder: `hoursight.toml`, read once, every key with a default."""

import logging
import re
import tomllib
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec

from storage.config.folders import Folders
from storage.errors import HoursightError
from storage.model.metrics import METRIC_NAMES, Levels, Metric
from storage.model.schema import STOCK, TABLES, Schema, customized

__all__ = [
    "POSTGRES", "HostSettings", "LakeSettings", "MetricSettings", "Settings", "SettingsError",
    "SimulatorSettings", "SourceSettings", "WebSettings", "adopt_settings", "read_settings",
    "schema_of", "settings_in_force", "write_settings",
]  # fmt: skip

log = logging.getLogger(__name__)

METRIC_NAME = re.compile(r"[a-z][a-z0-9_]{0,49}")
# A metric of that name would meet a column that the tables have for something else.
TAKEN_NAMES = frozenset({"server", "ts", "source", *METRIC_NAMES})
ROLLUP_ENDINGS = ("_mean", "_max", "_count")
POSTGRES = "postgres:"
PASSWORD = re.compile(r"\bpassword\s*=|://[^/@]*:[^/@]*@", re.IGNORECASE)
KEPT = re.compile(r"(\d+)([dh])")
AT = re.compile(r" - at `(?P<path>[^`]+)`$")
UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>[^`]+)`")
STEP = re.compile(r"([\w-]+)|\[(\d+)\]")


# The last valid settings that this process has read of each file.
_LAST_VALID: dict[Path, "Settings"] = {}


class SettingsError(HoursightError):
    """A setting that cannot be used; the message names the file, the key and what was expected."""


class HostSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """This machine's own metrics."""

    enabled: bool = True


class SimulatorSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The simulated fleet; `history_days` of it are made at its first start."""

    enabled: bool = False
    servers: int = 20
    seed: int = 7
    history_days: float = 8.0

    def __post_init__(self) -> None:
        if not 1 <= self.servers <= 10_000:
            raise ValueError(f"servers is {self.servers}, expected 1 to 10000")
        if not 0 < self.history_days <= 400:
            raise ValueError(f"history_days is {self.history_days:g}, expected up to 400")

    @property
    def history(self) -> timedelta:
        """How far back its first run goes."""
        return timedelta(days=self.history_days)


class SourceSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which adapters run, and how."""

    host: HostSettings = HostSettings()
    simulator: SimulatorSettings = SimulatorSettings()


class WebSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the site listens."""

    host: str = "127.0.0.1"
    port: int = 8080

    def __post_init__(self) -> None:
        if not 0 < self.port < 65536:
            raise ValueError(f"port is {self.port}, expected 1 to 65535")


class LakeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the lake's catalog and files are: in the data folder unless told otherwise."""

    catalog: str = "sqlite"
    data_path: str = ""

    def __post_init__(self) -> None:
        if PASSWORD.search(self.catalog):  # which the message must not repeat
            raise ValueError(
                "catalog has a password in it, expected none: put it into PGPASSWORD or a pgpass "
                "file"
            )
        if self.catalog != "sqlite" and not self.catalog.startswith(POSTGRES):
            raise ValueError(
                f"catalog is {self.catalog!r}, expected 'sqlite' or such as "
                f"'{POSTGRES}dbname=hoursight host=db.example'"
            )
        if self.data_path and not self.data_path.startswith("/"):
            raise ValueError(
                f"data_path is {self.data_path!r}, expected an absolute folder that all hosts share"
            )


class MetricSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A metric of one's own beside the 14: stored, checked and rolled up; not forecast."""

    name: str
    unit: str = ""
    label: str = ""
    meaning: str = ""
    kind: Literal["gauge", "rate", "count", "counter"] = "gauge"
    lowest: float = 0.0
    highest: float | None = None
    bad_when: Literal["high", "low"] | None = None
    warn: float | None = None
    critical: float | None = None

    def __post_init__(self) -> None:
        if not METRIC_NAME.fullmatch(self.name) or self.name.endswith(ROLLUP_ENDINGS):
            raise ValueError(
                f"name is {self.name!r}, expected small letters, digits and _ such as "
                f"'gpu_used_pct', not ending in {', '.join(ROLLUP_ENDINGS)}"
            )
        if self.name in TAKEN_NAMES:
            raise ValueError(f"name is {self.name!r}, which is taken: choose another")
        if self.highest is not None and self.highest <= self.lowest:
            raise ValueError(f"highest of {self.name} is not above lowest")
        if (self.warn is None) != (self.critical is None):
            raise ValueError(f"{self.name} has one of warn and critical, expected both or none")

    def metric(self) -> Metric:
        """The metric that it describes."""
        levels = None
        if self.warn is not None and self.critical is not None:
            levels = Levels(self.warn, self.critical)
        return Metric(
            self.name, self.label or self.name, self.unit, self.kind, self.highest, self.bad_when,
            self.meaning or self.label or self.name, levels, self.lowest,
        )  # fmt: skip


def _stock_retention() -> dict[str, str]:
    return {t.name: t.retention_text for t in TABLES if t.by_day}


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All settings."""

    metrics: list[MetricSettings] = []
    sources: SourceSettings = SourceSettings()
    web: WebSettings = WebSettings()
    lake: LakeSettings = LakeSettings()
    retention: dict[str, str] = msgspec.field(default_factory=_stock_retention)

    def __post_init__(self) -> None:
        names = [m.name for m in self.metrics]
        if len(set(names)) < len(names):
            raise ValueError(f"metrics has a name twice: {', '.join(names)}")
        for table, text in self.retention.items():
            if table not in _stock_retention():
                known = ", ".join(_stock_retention())
                raise ValueError(f"retention has {table!r}, expected one of {known}")
            _kept(table, text)

    def schema(self) -> Schema:
        """The tables as these settings have them."""
        kept = {table: _kept(table, text) for table, text in self.retention.items()}
        if not self.metrics and all(STOCK.table(name).retention == k for name, k in kept.items()):
            return STOCK
        return customized([m.metric() for m in self.metrics], kept)


def _kept(table: str, text: str) -> timedelta | None:
    """How long `7d`, `36h` or `always` is; whole days go at a time, so a day is the least."""
    if text == "always":
        return None
    found = KEPT.fullmatch(text)
    kept = timedelta(hours=int(found[1]) * (24 if found[2] == "d" else 1)) if found else None
    if kept is None or not timedelta(days=1) <= kept <= timedelta(days=36_500):
        raise ValueError(
            f"retention.{table} is {text!r}, expected '7d', '36h' or 'always', and a day at least"
        )
    return kept


def read_settings(data: Path | str) -> Settings:
    """The settings of a data folder; defaults when it has no file. Raises SettingsError."""
    path = Folders.at(data).settings
    raw: Any = {}
    try:
        raw = tomllib.loads(path.read_bytes().decode())
        settings = msgspec.convert(raw, Settings)
    except FileNotFoundError:
        settings = Settings()
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be read ({error.strerror}): let this user read it"
        ) from error
    except (ValueError, RecursionError) as error:  # of msgspec and of TOML too
        raise SettingsError(f"{path}: {_sentence(str(error), raw)}; correct that file") from error
    log.debug("settings read from %s", path)
    adopt_settings(data, settings)
    return settings


def _sentence(error: str, raw: Any) -> str:
    """What msgspec says of a setting, with the key in front and the value that was given."""
    at = AT.search(error)
    key = at["path"].removeprefix("$").lstrip(".") if at else ""
    said = AT.sub("", error)
    if unknown := UNKNOWN.match(said):
        known = ", ".join(Settings.__struct_fields__)
        where = f"[{key}]" if key else f"the file (expected one of {known})"
        return f"unknown field `{unknown['name']}` in {where}"
    value = raw
    for name, index in STEP.findall(key):
        value = value[name] if name else value[int(index)]
    if not key or isinstance(value, dict | list):
        return f"{key}: {said}" if key else said
    return f"{key} is {value!r}, {said[0].lower()}{said[1:]}"


def adopt_settings(data: Path | str, settings: Settings) -> None:
    """Take these as the settings of a data folder, for as long as its file has an error."""
    _LAST_VALID[Folders.at(data).settings] = settings


def settings_in_force(data: Path | str) -> Settings:
    """Return the settings of a data folder, or the last valid ones while its file has an error.

    Raises SettingsError when this process has read no valid ones.
    """
    try:
        return read_settings(data)
    except SettingsError:
        if (last := _LAST_VALID.get(Folders.at(data).settings)) is None:
            raise
        return last


@cache
def schema_of(folders: Folders) -> Schema:
    """The tables of a data folder, as its settings are when a process first asks.

    Raises SettingsError.
    """
    return settings_in_force(folders.data).schema()


def write_settings(data: Path | str, settings: Settings) -> Path:
    """Write a settings file for the folder's first use."""
    path = Folders.at(data).settings
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.toml.encode(settings))
    return path
