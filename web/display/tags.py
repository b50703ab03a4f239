"""Tags of servers: names that people give to groups of them, as globs in the settings."""

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import translate
from functools import lru_cache
from pathlib import Path

import pyarrow as pa

from storage.config.folders import Folders
from storage.config.settings import SettingsError, settings_in_force

__all__ = ["Tags", "tag_rows", "tags_in_force"]

_ROWS = pa.schema([("server", pa.string()), ("tags", pa.list_(pa.string()))])


class Tags:
    """The globs of each tag; they match in small and capital letters alike."""

    def __init__(self, globs: Mapping[str, Sequence[str]]) -> None:
        self.names = sorted(globs)
        self.key = tuple((tag, tuple(globs[tag])) for tag in self.names)
        self._patterns = {
            tag: re.compile("|".join(translate(glob.lower()) for glob in own))
            for tag, own in self.key
        }

    def of(self, server: str) -> list[str]:
        """Return the tags of a server, in their order."""
        name = server.lower()
        return [tag for tag, pattern in self._patterns.items() if pattern.match(name)]


def tag_rows(servers: Iterable[str], tags: Tags) -> pa.Table:
    """Return the columns `server` and `tags`, of the servers that have any."""
    rows = [(str(server), tags.of(str(server))) for server in servers] if tags.names else []
    listed = [{"server": server, "tags": own} for server, own in rows if own]
    return pa.Table.from_pylist(listed, _ROWS)


def tags_in_force(folders: Folders) -> Tags:
    """Return the tags of the settings of a data folder; none while these have never been valid."""
    try:
        stamp = folders.settings.stat().st_mtime_ns
    except OSError:
        stamp = 0
    return _tags(folders.data, stamp)


@lru_cache(maxsize=4)
def _tags(data: Path, _stamp: int) -> Tags:
    try:
        return Tags(settings_in_force(data).tags)
    except SettingsError:
        return Tags({})
