"""Settings file of a running process: reloaded on change; some changes need a restart."""

import logging
import threading
from collections.abc import Sequence
from pathlib import Path

from storage.config.folders import Folders
from storage.config.settings import Settings, SettingsError, read_settings
from storage.platform.threads import SupervisedThread

__all__ = ["SettingsFile", "SettingsMonitor"]

log = logging.getLogger(__name__)

POLL_EVERY_S = 0.5

# Modification time [ns], size and inode of a file; None when there is no file.
Stamp = tuple[int, int, int] | None


class SettingsFile:
    """The settings in force in a process that was started with `settings`.

    An invalid edit is logged once, and the previous settings stay in force.
    """

    def __init__(self, data: Path | str, settings: Settings) -> None:
        self.settings = settings
        self._data = data
        self._path = Folders.at(data).settings
        self._read: Stamp | str = "never"
        self._empty: Stamp | str = "never"

    def reload(self) -> bool:
        """Read the file again if it has changed; return True if the settings changed.

        An absent or empty file counts from the second check on: editors leave one for an instant.
        """
        stamp = self._stamp()
        if stamp == self._read:
            return False
        if (stamp is None or stamp[1] == 0) and stamp != self._empty:
            self._empty = stamp
            return False
        self._read, self._empty = stamp, "never"
        try:
            settings = read_settings(self._data)
        except (SettingsError, OSError) as error:
            log.warning("the previous settings stay in force: %s", error)
            return False
        changed, self.settings = settings != self.settings, settings
        return changed

    def _stamp(self) -> Stamp | str:
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            return None
        except OSError:  # the disk fails: whether the file changed is not known
            return self._read
        return stat.st_mtime_ns, stat.st_size, stat.st_ino


class SettingsMonitor:
    """Sets `stop` when one of `sections` changes: those that take effect at a start only."""

    def __init__(self, file: SettingsFile, sections: Sequence[str], stop: threading.Event) -> None:
        self.changed = False
        self._file, self._sections, self._stop = file, sections, stop
        SupervisedThread("settings", self._watch, stop).start()

    def _watch(self) -> None:
        at_start = self._values()
        while not self._stop.wait(POLL_EVERY_S):
            self._file.reload()
            if self._values() != at_start:
                log.info("settings changed: restarting")
                self.changed = True
                self._stop.set()

    def _values(self) -> list[object]:
        return [getattr(self._file.settings, name) for name in self._sections]
