"""Procfile: one process a line, `NAME: COMMAND`."""

import re
from pathlib import Path

from storage.errors import HoursightError

__all__ = ["PROCFILE", "ProcfileError", "read_procfile"]

PROCFILE = Path(__file__).parent.parent / "Procfile"

LINE = re.compile(r"(?P<name>[A-Za-z0-9_-]+):\s*(?P<command>\S.*)")


class ProcfileError(HoursightError):
    """A Procfile that cannot be used; the message names the file, the line and the remedy."""


def read_procfile(path: Path) -> dict[str, str]:
    """Return the commands by the name of their process, in order. Raises ProcfileError."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ProcfileError(f"{path} cannot be read ({error}): name a text file") from error
    commands: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            name, command = _process(line.strip(), f"{path}, line {number}")
            if name in commands:
                raise ProcfileError(
                    f"{path}, line {number}: {name!r} is defined twice: rename one of the processes"
                )
            commands[name] = command
    if not commands:
        raise ProcfileError(f"{path} has no process: add a line such as 'web: exec python -m web'")
    return commands


def _process(line: str, place: str) -> tuple[str, str]:
    fields = LINE.fullmatch(line)
    if fields is None:
        raise ProcfileError(
            f"{place}: {line[:100]!r} is not a process (expected 'NAME: COMMAND', the name of "
            "letters, digits, _ and -): correct the line or remove it"
        )
    return fields["name"], fields["command"]
