"""Each setting in force, with its value and where it comes from."""

import json
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from storage.config.folders import Folders
from storage.config.settings import Settings, settings_in_force

__all__ = ["SettingOrigin", "settings_with_origins"]


@dataclass(frozen=True, slots=True)
class SettingOrigin:
    """A setting by its dotted key, its value as TOML, and where that comes from.

    `in_file` says whether the settings file states it, `is_default` whether it is the default.
    """

    key: str
    value: str
    in_file: bool
    is_default: bool

    @property
    def origin(self) -> str:
        """Where the value comes from, in words."""
        if not self.in_file:
            return "default"
        return "the file, as the default" if self.is_default else "the file"


def settings_with_origins(data: Path) -> tuple[SettingOrigin, ...]:
    """All settings in force for a data folder; those that differ from the defaults come first.

    Raises SettingsError when the file is not valid and this process has read no valid one.
    """
    given: set[str] = set()
    with suppress(OSError, ValueError):
        given = {key for key, _ in _leaves(tomllib.loads(Folders.at(data).settings.read_text()))}
    values = msgspec.to_builtins(settings_in_force(data))
    defaults = dict(_leaves(msgspec.to_builtins(Settings())))
    found = [
        SettingOrigin(key, json.dumps(value), key in given, defaults.get(key) == value)
        for key, value in _leaves(values)
    ]
    return tuple(sorted(found, key=lambda each: each.is_default))


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
