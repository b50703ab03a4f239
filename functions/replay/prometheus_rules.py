"""Prometheus's alert rules: the rule files that users have, read without a Prometheus."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

from storage.errors import HoursightError

__all__ = ["PrometheusRule", "RulesUnreadable", "read_rules"]

MOST_BYTES = 10_000_000
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000}
_DURATION = re.compile(r"(?:\d+(?:ms|[smhdwy]))+")
_PART = re.compile(r"(\d+)(ms|[smhdwy])")


class RulesUnreadable(HoursightError):
    """A rule file cannot be read; the message names the file, the place and what is expected."""


class PrometheusRule(msgspec.Struct, frozen=True, rename={"for_": "for"}):
    """One rule of a file. `alert` is missing in a recording rule, which alerts nobody."""

    expr: str
    alert: str | None = None
    record: str | None = None
    for_: str = "0s"
    keep_firing_for: str = "0s"
    labels: dict[str, Any] = {}

    @property
    def name(self) -> str:
        """The name that it has in its file."""
        return self.alert or self.record or "(without a name)"

    @property
    def for_minutes(self) -> float:
        """How long its expression must hold until it fires."""
        return duration("for", self.for_) / timedelta(minutes=1)

    @property
    def keep_minutes(self) -> float:
        """How long it still fires after its expression has ended."""
        return duration("keep_firing_for", self.keep_firing_for) / timedelta(minutes=1)


class _Group(msgspec.Struct, frozen=True):
    name: str
    rules: tuple[PrometheusRule, ...] = ()


class _File(msgspec.Struct, frozen=True):
    groups: tuple[_Group, ...]


def read_rules(path: Path) -> tuple[PrometheusRule, ...]:
    """Return the rules of a file, in its order. Raises RulesUnreadable."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RulesUnreadable(
            f"{path}: cannot be read ({error.strerror}); name a file of Prometheus's alert rules"
        ) from error
    if len(content) > MOST_BYTES:
        raise RulesUnreadable(f"{path}: {len(content)} bytes (expected at most {MOST_BYTES})")
    try:
        file = msgspec.yaml.decode(content, type=_File)
    except (msgspec.DecodeError, RecursionError) as error:
        raise RulesUnreadable(
            f"{path}: not a file of Prometheus's rules ({error}); expected 'groups:' with "
            "'rules:', each with 'alert:' and 'expr:'"
        ) from error
    rules = tuple(rule for group in file.groups for rule in group.rules)
    for rule in rules:
        try:
            _ = rule.for_minutes, rule.keep_minutes
        except ValueError as error:
            raise RulesUnreadable(f"{path}: alert {rule.name}: {error}") from error
    return rules


def duration(field: str, text: str) -> timedelta:
    """Return a duration as Prometheus writes it: 15m, 1h30m. Raises ValueError."""
    if text == "0":
        return timedelta(0)
    if not _DURATION.fullmatch(text):
        raise ValueError(f"{field} is {text!r} (expected a duration, for example '15m' or '1h30m')")
    return timedelta(seconds=sum(int(n) * _UNITS[unit] for n, unit in _PART.findall(text)))
