"""Settings of a data folder: the file `hoursight.toml`, in which every key has a default."""

import logging
import re
import tomllib
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec

from storage.config.channel_settings import (
    CHANNEL_KINDS,
    AlertsSettings,
    Channel,
    HeartbeatSettings,
    check_channel_names,
)
from storage.config.folders import Folders
from storage.config.source_settings import (
    FunctionSettings,
    HostSettings,
    SimulatorSettings,
    SourceSettings,
)
from storage.errors import HoursightError
from storage.model.metrics import LARGEST, METRIC_NAMES, METRICS, Levels, Metric
from storage.model.periods import parse_period
from storage.model.profiles import PROFILE_NAMES, STOCK_PATTERNS, Patterns
from storage.model.schema import STOCK, TABLES, Schema, customized
from storage.model.time_limits import TimeLimits
from storage.platform.private_files import create_private_folder

__all__ = [
    "POSTGRES", "DataSettings", "DevicePatterns", "DeviceSettings", "FunctionSettings",
    "HostSettings", "LakeSettings", "MetricSettings", "ProfileSettings", "RemoteWriteSettings",
    "Settings", "SettingsError", "SimulatorSettings", "SourceSettings", "TimeSettings",
    "WebSettings", "adopt_settings", "check_server_label", "read_settings", "schema_of",
    "settings_in_force", "write_settings",
]  # fmt: skip

log = logging.getLogger(__name__)

LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
TAG = re.compile(r"[A-Za-z0-9][\w.-]{0,49}")
METRIC_NAME = re.compile(r"[a-z][a-z0-9_]{0,49}")
# Names of columns that the tables have already.
RESERVED_NAMES = frozenset({"server", "ts", "source", *METRIC_NAMES})
ROLLUP_SUFFIXES = ("_mean", "_max", "_count")
POSTGRES = "postgres:"
PASSWORD = re.compile(r"\bpassword\s*=|://[^/@]*:[^/@]*@", re.IGNORECASE)
RETENTION = re.compile(r"(\d+)([dh])")
MEMORY = re.compile(r"([1-9]\d{0,5})(MB|GB)")
LEAST_MEMORY_MB = 128
PATH = re.compile(r" - at `(?P<path>[^`]+)`$")
UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>[^`]+)`")
MISSING = re.compile(r"Object missing required field `(?P<name>[^`]+)`")
STEP = re.compile(r"([\w-]+)|\[(\d+|\.\.\.)\]")


# The last valid settings of each file that this process has read.
_LAST_VALID: dict[Path, "Settings"] = {}


class SettingsError(HoursightError):
    """A setting is not valid; the message names the file, the key and what is expected."""


def _stock_patterns() -> dict[str, list[str]]:
    return {profile: list(globs) for profile, globs in STOCK_PATTERNS.items()}


class ProfileSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Host names by profile, as globs, for servers whose own records state no profile.

    A profile that is left out keeps its stock patterns.
    """

    patterns: dict[str, list[str]] = msgspec.field(default_factory=_stock_patterns)

    def __post_init__(self) -> None:
        for profile in self.patterns:
            if profile not in PROFILE_NAMES:
                known = ", ".join(PROFILE_NAMES)
                raise ValueError(f"patterns has {profile!r}, expected one of {known}")

    @property
    def all_patterns(self) -> Patterns:
        """The globs of each profile, in small letters."""
        return {
            profile: tuple(glob.lower() for glob in globs)
            for profile, globs in (_stock_patterns() | self.patterns).items()
        }


class WebSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The address at which the site listens.

    `read_without_key` lets this machine read without a key although keys exist.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    read_without_key: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.port < 65536:
            raise ValueError(f"port is {self.port}, expected 1 to 65535")


def check_server_label(given: str | list[str]) -> None:
    """Raise ValueError if these are not names of Prometheus labels."""
    names = [given] if isinstance(given, str) else given
    if not names or not all(map(LABEL_NAME.fullmatch, names)):
        raise ValueError(
            f"server_label is {given!r}, expected a label such as 'instance', or several such as "
            "['cluster', 'instance']"
        )


class RemoteWriteSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What Prometheus pushes: the label that names the server, or several that do together."""

    server_label: str | list[str] = "instance"

    def __post_init__(self) -> None:
        check_server_label(self.server_label)


class DataSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who may read the data folder: its user alone, or with `group_readable` its group too."""

    group_readable: bool = False


class LakeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the lake's catalog and files are, by default in the data folder, and readers' memory.

    `reader_memory` limits DuckDB's memory in each process that reads; a query that needs more
    writes to the disk. A fetched result comes on top of it.
    """

    catalog: str = "sqlite"
    data_path: str = ""
    reader_memory: str = "512MB"

    def __post_init__(self) -> None:
        memory = MEMORY.fullmatch(self.reader_memory)
        if memory is None or int(memory[1]) * (1000 if memory[2] == "GB" else 1) < LEAST_MEMORY_MB:
            raise ValueError(
                f"reader_memory is {self.reader_memory!r}, expected for example '512MB' or '4GB', "
                f"at least {LEAST_MEMORY_MB}MB"
            )
        if PASSWORD.search(self.catalog):  # the message must not show it
            raise ValueError(
                "catalog contains a password, expected none: put it into PGPASSWORD or a pgpass "
                "file"
            )
        if self.catalog != "sqlite" and not self.catalog.startswith(POSTGRES):
            raise ValueError(
                f"catalog is {self.catalog!r}, expected 'sqlite' or for example "
                f"'{POSTGRES}dbname=hoursight host=db.example'"
            )
        if self.data_path and not self.data_path.startswith("/"):
            raise ValueError(
                f"data_path is {self.data_path!r}, expected an absolute folder that all hosts share"
            )


class DevicePatterns(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Globs of devices that count besides those of the stock table, and of those that do not.

    `exclude` goes before `include`.
    """

    include: list[str] = []
    exclude: list[str] = []

    def __post_init__(self) -> None:
        for key in ("include", "exclude"):
            for pattern in getattr(self, key):
                if not pattern.strip():
                    raise ValueError(f"{key} has {pattern!r}, expected a pattern such as 'wg*'")


class DeviceSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which volumes (by mount point, device or type) and links (by name) count, for all sources."""

    volumes: DevicePatterns = DevicePatterns()
    links: DevicePatterns = DevicePatterns()


class MetricSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An additional metric: stored, validated and rolled up, but not forecast."""

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
        if not METRIC_NAME.fullmatch(self.name) or self.name.endswith(ROLLUP_SUFFIXES):
            raise ValueError(
                f"name is {self.name!r}, expected lower-case letters, digits and _, for example "
                f"'gpu_used_pct', not ending in {', '.join(ROLLUP_SUFFIXES)}"
            )
        if self.name in RESERVED_NAMES:
            raise ValueError(f"name is {self.name!r}, which is reserved: choose another")
        if self.highest is not None and self.highest <= self.lowest:
            raise ValueError(
                f"highest of {self.name} is {self.highest:g}, expected more than {self.lowest:g}"
            )
        if (self.warn is None) != (self.critical is None):
            raise ValueError(f"{self.name} has one of warn and critical, expected both or none")

    def metric(self) -> Metric:
        """These settings as a metric."""
        levels = None
        if self.warn is not None and self.critical is not None:
            levels = Levels(self.warn, self.critical)
        return Metric(
            self.name, self.label or self.name, self.unit, self.kind, self.highest, self.bad_when,
            self.meaning or self.label or self.name, levels, self.lowest,
        )  # fmt: skip


class DeletionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What happens to samples of a server that was deleted and sends again.

    It is accepted, and the log and its page say so; or it is refused, except those readmitted.
    """

    returning: str = "accept"
    readmitted: list[str] = []

    def __post_init__(self) -> None:
        if self.returning not in ("accept", "refuse"):
            raise ValueError(f"returning is {self.returning!r}, expected 'accept' or 'refuse'")


class TimeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which times of samples can be true: a sample outside is refused, whatever way it comes."""

    max_age: str = "3650d"
    max_ahead: str = "5m"

    def __post_init__(self) -> None:
        for key, least, most in (("max_age", "1d", "36500d"), ("max_ahead", "1s", "1d")):
            try:
                fits = parse_period(least) <= parse_period(getattr(self, key)) <= parse_period(most)
            except (ValueError, OverflowError):
                fits = False
            if not fits:
                raise ValueError(f"{key} is {getattr(self, key)!r}, expected {least} to {most}")

    @property
    def limits(self) -> TimeLimits:
        """These settings as periods."""
        return TimeLimits(parse_period(self.max_age), parse_period(self.max_ahead))


class ServerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many servers one sender (an address, or a source) may add within an hour."""

    new_per_hour: int = 20_000

    def __post_init__(self) -> None:
        if self.new_per_hour < 1:
            raise ValueError(f"new_per_hour is {self.new_per_hour}, expected 1 or more")


def _stock_retention() -> dict[str, str]:
    return {t.name: t.retention_text for t in TABLES if t.by_day}


def _stock_limits() -> dict[str, float]:
    return {m.name: m.limit for m in METRICS if m.limit is not None}


class LoopSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether the scores of past forecasts change what is served of the next ones."""

    correct: bool = True


class TrainingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether models are trained by the system itself, or only when a person requests it."""

    automatic: bool = True


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All settings."""

    metrics: list[MetricSettings] = []
    sources: SourceSettings = SourceSettings()
    remote_write: RemoteWriteSettings = RemoteWriteSettings()
    web: WebSettings = WebSettings()
    data: DataSettings = DataSettings()
    functions: dict[str, FunctionSettings] = {}
    lake: LakeSettings = LakeSettings()
    times: TimeSettings = TimeSettings()
    servers: ServerSettings = ServerSettings()
    deletions: DeletionSettings = DeletionSettings()
    profiles: ProfileSettings = ProfileSettings()
    limits: dict[str, float] = msgspec.field(default_factory=_stock_limits)
    devices: DeviceSettings = DeviceSettings()
    retention: dict[str, str] = msgspec.field(default_factory=_stock_retention)
    alerts: AlertsSettings = AlertsSettings()
    channels: dict[str, Channel] = {}
    heartbeat: HeartbeatSettings = HeartbeatSettings()
    loop: LoopSettings = LoopSettings()
    training: TrainingSettings = TrainingSettings()
    tags: dict[str, list[str]] = {}

    def __post_init__(self) -> None:
        check_channel_names(self.channels)
        for tag, globs in self.tags.items():
            _check_tag(tag, globs)
        names = [m.name for m in self.metrics]
        if len(set(names)) < len(names):
            raise ValueError(
                f"metrics has a name twice (expected unique names): {', '.join(names)}"
            )
        for name, limit in self.limits.items():
            _check_limit(name, limit)
        for table, text in self.retention.items():
            if table not in _stock_retention():
                known = ", ".join(_stock_retention())
                raise ValueError(f"retention has {table!r}, expected one of {known}")
            _retention(table, text)

    def schema(self) -> Schema:
        """The tables with these metrics, this retention and these limits of times."""
        retention = {table: _retention(table, text) for table, text in self.retention.items()}
        limits = _stock_limits() | self.limits
        unchanged = limits == _stock_limits() and all(
            STOCK.table(name).retention == r for name, r in retention.items()
        )
        if unchanged and not self.metrics:
            return replace(STOCK, times=self.times.limits)
        own = [m.metric() for m in self.metrics]
        return customized(own, retention, self.times.limits, limits)


def _check_tag(tag: str, globs: list[str]) -> None:
    if not TAG.fullmatch(tag):
        raise ValueError(
            f"tags has {tag!r}, expected a name of letters, digits, '-', '_' and '.', for example "
            "'eu-1'"
        )
    if not globs or not all(glob.strip() for glob in globs):
        raise ValueError(f"tags.{tag} is {globs!r}, expected host names (globs) such as ['web-*']")


def _check_limit(name: str, limit: float) -> None:
    if name not in _stock_limits():
        known = ", ".join(_stock_limits())
        raise ValueError(
            f"limits has {name!r}, expected one of {known}; a percentage ends at 100, and a metric "
            "of your own has 'highest' in [[metrics]]"
        )
    if not 0 < limit <= LARGEST:
        raise ValueError(f"limits.{name} is {limit:g}, expected a number over 0")


def _retention(table: str, text: str) -> timedelta | None:
    """Parse `7d`, `36h` or `always`; at least a day, because whole days are deleted at a time."""
    if text == "always":
        return None
    match = RETENTION.fullmatch(text)
    period = timedelta(hours=int(match[1]) * (24 if match[2] == "d" else 1)) if match else None
    if period is None or not timedelta(days=1) <= period <= timedelta(days=36_500):
        raise ValueError(
            f"retention.{table} is {text!r}, expected 'always' or at least one day such as '7d' or "
            "'36h'"
        )
    return period


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
            f"{path} cannot be read ({error.strerror}): give this user read permission"
        ) from error
    except (ValueError, RecursionError) as error:  # from msgspec or the TOML parser
        raise SettingsError(f"{path}: {_sentence(str(error), raw)}; correct that file") from error
    log.debug("settings read from %s", path)
    adopt_settings(data, settings)
    return settings


def _sentence(error: str, raw: Any) -> str:
    """The message of msgspec, with the key in front and the value that was given."""
    path = PATH.search(error)
    steps = _steps(path["path"].removeprefix("$") if path else "", raw)
    key = _dotted(steps)
    message = PATH.sub("", error)
    if unknown := UNKNOWN.match(message):
        known = ", ".join(Settings.__struct_fields__)
        where = f"[{key}]" if key else f"the file (expected one of {known})"
        return f"unknown field `{unknown['name']}` in {where}"
    if missing := MISSING.match(message):
        return f"{_dotted([*steps, missing['name']])} is missing, expected{_kinds(missing['name'])}"
    value = _value_at(steps, raw)
    if not key or isinstance(value, dict | list):
        return f"{key}: {message}" if key else message
    if steps[-1] == "kind":
        return f"{key} is {value!r}, expected{_kinds('kind')}"
    return f"{key} is {value!r}, {message[0].lower()}{message[1:]}"


def _kinds(key: str) -> str:
    return f" one of {', '.join(CHANNEL_KINDS)}" if key == "kind" else " a value"


def _steps(path: str, raw: Any) -> list[str | int]:
    """The keys and indexes of a path of msgspec, in which `[...]` stands for some key."""
    steps: list[str | int] = []
    for name, index in STEP.findall(path):
        steps.append(_invalid_key(steps, raw) if index == "..." else name or int(index))
    return steps


def _invalid_key(steps: list[str | int], raw: Any) -> str:
    """The first key of the table at `steps` with which the settings are not valid."""
    for name, entry in _value_at(steps, raw).items():
        alone = {name: entry}
        for step in reversed(steps):
            alone = {str(step): alone}
        try:
            msgspec.convert(alone, Settings)
        except ValueError:
            return str(name)
    return "…"


def _value_at(steps: list[str | int], raw: Any) -> Any:
    for step in steps:
        raw = raw.get(step, {}) if isinstance(raw, dict) else raw[step]
    return raw


def _dotted(steps: list[str | int]) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return text.lstrip(".")


def adopt_settings(data: Path | str, settings: Settings) -> None:
    """Use `settings` for a data folder while its file is not valid."""
    _LAST_VALID[Folders.at(data).settings] = settings


def settings_in_force(data: Path | str) -> Settings:
    """The settings of a data folder, or the last valid ones while its file is not valid.

    Raises SettingsError if this process has read no valid ones.
    """
    try:
        return read_settings(data)
    except SettingsError:
        if (last := _LAST_VALID.get(Folders.at(data).settings)) is None:
            raise
        return last


@cache
def schema_of(folders: Folders) -> Schema:
    """The tables of a data folder, by its settings at the first call in this process.

    Raises SettingsError.
    """
    return settings_in_force(folders.data).schema()


def write_settings(data: Path | str, settings: Settings) -> Path:
    """Write the settings file of a data folder; returns its path."""
    path = Folders.at(data).settings
    create_private_folder(path.parent)
    path.write_bytes(msgspec.toml.encode(settings))
    return path
