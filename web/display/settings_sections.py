"""Settings by section: what each section means, which of its values are not the default."""

import inspect
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import msgspec

from storage.config.settings import Settings
from storage.config.settings_origin import SettingOrigin

__all__ = ["SettingsSection", "meaning_of", "settings_sections"]

# Sections without a struct of their own.
_MEANINGS = {
    "metrics": "Metrics of your own, beside the 14 of every server.",
    "functions": "A function of the user's: the variables of the environment that its file gets.",
    "limits": "The largest value of each metric that can be true: more is refused, as it is in "
    "another unit.",
    "retention": "How long each table is kept.",
    "channels": "Where messages of alerts are sent.",
    "tags": "Groups of servers by their host names (globs).",
}


@dataclass(frozen=True, slots=True)
class SettingsSection:
    """A section of the settings file with what it means, in a sentence or two."""

    name: str
    meaning: str
    settings: tuple[SettingOrigin, ...]

    @property
    def changed(self) -> int:
        """How many of its values are not the default."""
        return sum(not each.is_default for each in self.settings)


def settings_sections(
    settings: Iterable[SettingOrigin], query: str = "", changed_only: bool = False
) -> Sequence[SettingsSection]:
    """Return the sections with settings that match, those with changed values first.

    A setting matches that has every word of `query` in its key, its value, where it comes from or
    the meaning of its section.
    """
    terms = query.casefold().split()
    sections: dict[str, list[SettingOrigin]] = defaultdict(list)
    for each in settings:
        name = _section_of(each.key)
        text = f"{each.key} {each.value} {each.origin} {meaning_of(name)}".casefold()
        if all(term in text for term in terms) and not (changed_only and each.is_default):
            sections[name].append(each)
    shown = [
        SettingsSection(name, meaning_of(name), tuple(found)) for name, found in sections.items()
    ]
    return sorted(shown, key=lambda section: (not section.changed, section.name))


@cache
def meaning_of(section: str) -> str:
    """Return what a section means; empty where its name says it."""
    kind: type[msgspec.Struct] | None = Settings
    for part in section.split("."):
        kind = _struct_at(kind, part)
    if kind is not None:
        return " ".join((inspect.getdoc(kind) or "").split("\n\n", 1)[0].split())
    return _MEANINGS.get(section.split(".", 1)[0], "")


def _section_of(key: str) -> str:
    """Return the table of the settings file that a key stands in; `metrics` stands in none."""
    return key.rpartition(".")[0] or key


def _struct_at(kind: type[msgspec.Struct] | None, name: str) -> type[msgspec.Struct] | None:
    """Return the struct of a field; None where it has another type."""
    for field in msgspec.structs.fields(kind) if kind is not None else ():
        if field.encode_name == name and isinstance(field.type, type):
            return field.type if issubclass(field.type, msgspec.Struct) else None
    return None
