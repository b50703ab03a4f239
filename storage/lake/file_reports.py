"""Reports of readers to the writer: files of the lake that could not be read.

A reader cannot put a damaged file aside. It leaves the file's name in a folder, where it may.
"""

from contextlib import suppress
from pathlib import PurePath

from storage.config.folders import Folders

__all__ = ["report_file", "take_reports"]

UNNAMED = "-"
MOST = 100  # at once


def report_file(folders: Folders, path: str | None) -> None:
    """Report a file that could not be read; None if the error did not name it."""
    name = PurePath(path).name if path else UNNAMED
    with suppress(OSError):  # a reader may lack the permission: the writer's own checks remain
        folders.file_reports.mkdir(mode=0o700, exist_ok=True)
        (folders.file_reports / name).touch()


def take_reports(folders: Folders) -> list[str]:
    """The names reported since the last call, each once; "" for a file without a name."""
    with suppress(OSError):
        reports = sorted(folders.file_reports.iterdir())[:MOST]
        for report in reports:
            report.unlink(missing_ok=True)
        return ["" if report.name == UNNAMED else report.name for report in reports]
    return []
