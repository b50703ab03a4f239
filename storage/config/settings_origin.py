"""Each setting in force, with its value and where it comes from."""

import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from storage.config.folders import Folders
from storage.config.settings import settings_in_force

__all__ = ["SettingOrigin", "settings_with_origins"]


@dataclass(frozen=True, slots=True)
class SettingOrigin:
    """A setting by its dotted key, its value as TOML, and whether the settings file states it."""

    key: str
    value: str
    in_file: bool


def settings_with_origins(data: Path) -> tuple[SettingOrigin, ...]:
    """All settings in force for a data folder, those of the file first.

    Raises SettingsError when the file is not valid and this process has read no valid one.
    """
    given: set[str] = set()
    with suppress(OSError, ValueError):
        given = {key for key, _ in _leaves(tomllib.loads(Folders.at(data).settings.read_text()))}
    values = msgspec.to_builtins(settings_in_force(data))
    found = [SettingOrigin(key, _toml(value), key in given) for key, value in _leaves(values)]
    return tuple(sorted(found, key=lambda each: not each.in_file))


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _toml(value: Any) -> str:
    return msgspec.toml.encode({"v": value}).decode().removeprefix("v = ").strip()
