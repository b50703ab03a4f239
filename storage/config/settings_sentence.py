"""What is wrong with a settings file, in one sentence with the key and the value."""

import re
from typing import Any

import msgspec

from storage.config.channel_settings import CHANNEL_KINDS

__all__ = ["sentence"]

PATH = re.compile(r" - at `(?P<path>[^`]+)`$")
UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>[^`]+)`")
MISSING = re.compile(r"Object missing required field `(?P<name>[^`]+)`")
STEP = re.compile(r"([\w-]+)|\[(\d+|\.\.\.)\]")


def sentence(error: str, raw: Any, kind: type[msgspec.Struct]) -> str:
    """Return the message of msgspec, with the key in front and the value that was given.

    `raw` is what was to become a struct of `kind`.
    """
    path = PATH.search(error)
    steps = _steps(path["path"].removeprefix("$") if path else "", raw, kind)
    key = _dotted(steps)
    message = PATH.sub("", error)
    if unknown := UNKNOWN.match(message):
        known = ", ".join(kind.__struct_fields__)
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


def _steps(path: str, raw: Any, kind: type[msgspec.Struct]) -> list[str | int]:
    """The keys and indexes of a path of msgspec, in which `[...]` stands for some key."""
    steps: list[str | int] = []
    for name, index in STEP.findall(path):
        steps.append(_invalid_key(steps, raw, kind) if index == "..." else name or int(index))
    return steps


def _invalid_key(steps: list[str | int], raw: Any, kind: type[msgspec.Struct]) -> str:
    """The first key of the table at `steps` with which the settings are not valid."""
    for name, entry in _value_at(steps, raw).items():
        alone = {name: entry}
        for step in reversed(steps):
            alone = {str(step): alone}
        try:
            msgspec.convert(alone, kind)
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
