"""Secrets of a connection: from the environment or a file, never from the source file."""

import os
from pathlib import Path

from functions.normalize.strict_toml import SourceInvalid

__all__ = ["secret"]


def secret(key: str, env: str | None, file: str | None, section: str = "connection") -> str | None:
    """Return the secret that the variable `env` (KEY_env) or the file `file` (KEY_file) holds.

    `section` is where the two stand. None when neither is set. Raises SourceInvalid when both are,
    when the variable is not set, or when the file is empty or cannot be read.
    """
    if env and file:
        raise SourceInvalid(f"{section} has both {key}_env and {key}_file: leave one of them out")
    if env:
        if not os.environ.get(env):
            raise SourceInvalid(
                f"{section}.{key}_env names the variable {env!r}, which is not set: set it where "
                f"Hoursight is started, or put the secret into a file and write {key}_file"
            )
        return os.environ[env]
    return _read_secret(f"{section}.{key}_file", Path(file)) if file else None


def _read_secret(where: str, path: Path) -> str:
    try:
        text = path.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SourceInvalid(
            f"{where} is '{path}', which cannot be read ({error}): name a file that "
            "holds the secret and nothing else"
        ) from error
    if not text:
        raise SourceInvalid(f"{where} is '{path}', which is empty: write the secret into it")
    return text
