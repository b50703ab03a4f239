"""Settings of a data folder: the file `hoursight.toml`, in which every key has a default."""

import logging
import re
import tomllib
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from storage.config.channel_settings import (
    AlertsSettings,
    Channel,
    HeartbeatSettings,
    check_channel_names,
)
from storage.config.folders import Folders
from storage.config.lake_settings import POSTGRES, DataSettings, LakeSettings
from storage.config.loop_settings import LoopSettings, TrainingSettings
from storage.config.metric_settings import MetricSettings, check_limit, stock_limits
from storage.config.retention_settings import retention_of, stock_retention
from storage.config.sample_settings import (
    DeletionSettings,
    DevicePatterns,
    DeviceSettings,
    ProfileSettings,
    RemoteWriteSettings,
    ServerSettings,
    TimeSettings,
    check_server_label,
)
from storage.config.settings_sentence import sentence
from storage.config.source_settings import (
    FunctionSettings,
    HostSettings,
    SimulatorSettings,
    SourceSettings,
)
from storage.config.web_settings import WebSettings
from storage.errors import HoursightError
from storage.model.schema import STOCK, Schema, customized
from storage.platform.private_files import create_private_folder

__all__ = [
    "POSTGRES", "DataSettings", "DevicePatterns", "DeviceSettings", "FunctionSettings",
    "HostSettings", "LakeSettings", "MetricSettings", "ProfileSettings", "RemoteWriteSettings",
    "Settings", "SettingsError", "SimulatorSettings", "SourceSettings", "TimeSettings",
    "WebSettings", "adopt_settings", "check_server_label", "read_settings", "schema_of",
    "settings_in_force", "write_settings",
]  # fmt: skip

log = logging.getLogger(__name__)

TAG = re.compile(r"[A-Za-z0-9][\w.-]{0,49}")

# The last valid settings of each file that this process has read.
_LAST_VALID: dict[Path, "Settings"] = {}


class SettingsError(HoursightError):
    """A setting is not valid; the message names the file, the key and what is expected."""


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
    limits: dict[str, float] = msgspec.field(default_factory=stock_limits)
    devices: DeviceSettings = DeviceSettings()
    retention: dict[str, str] = msgspec.field(default_factory=stock_retention)
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
            check_limit(name, limit)
        for table, text in self.retention.items():
            retention_of(table, text)

    def schema(self) -> Schema:
        """The tables with these metrics, this retention and these limits of times."""
        retention = {table: retention_of(table, text) for table, text in self.retention.items()}
        limits = stock_limits() | self.limits
        unchanged = limits == stock_limits() and all(
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
        raise SettingsError(
            f"{path}: {sentence(str(error), raw, Settings)}; correct that file"
        ) from error
    log.debug("settings read from %s", path)
    adopt_settings(data, settings)
    return settings


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
