"""The settings of one data folder: `hoursight.toml`, read once, every key with a default."""

from datetime import timedelta
from pathlib import Path

import msgspec

from storage.folders import Folders

__all__ = [
    "HostSettings", "Settings", "SettingsError", "SimulatorSettings", "SourceSettings",
    "WebSettings", "read_settings",
]  # fmt: skip


class SettingsError(Exception):
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


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All settings."""

    sources: SourceSettings = SourceSettings()
    web: WebSettings = WebSettings()


def read_settings(data: Path | str) -> Settings:
    """The settings of a data folder; defaults when it has no file. Raises SettingsError."""
    path = Folders.at(data).settings
    if not path.exists():
        return Settings()
    try:
        return msgspec.toml.decode(path.read_bytes(), type=Settings)
    except (msgspec.DecodeError, ValueError) as error:
        raise SettingsError(f"{path}: {error}") from error


def write_settings(data: Path | str, settings: Settings) -> Path:
    """Write a settings file for the folder's first use."""
    path = Folders.at(data).settings
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.toml.encode(settings))
    return path
