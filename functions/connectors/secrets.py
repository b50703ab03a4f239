"""Secrets of a connection: from the environment or a file, never from the source file."""

import os
from pathlib import Path

from functions.normalize.strict_toml import SourceInvalid

__all__ = ["secret"]


def secret(key: str, env: str | None, file: str | None) -> str | None:
    """Return the secret that the variable `env` (KEY_env) or the file `file` (KEY_file) holds.

    None when the source file names neither. Raises SourceInvalid when it names both, when the
    variable is not set, or when the file is empty or cannot be read.
    """
    if env and file:
        raise SourceInvalid(f"connection has both {key}_env and {key}_file: leave one of them out")
    if env:
        if not os.environ.get(env):
            raise SourceInvalid(
                f"connection.{key}_env names the variable {env!r}, which is not set: set it where "
                f"Hoursight is started, or put the secret into a file and write {key}_file"
            )
        return os.environ[env]
    return _read_secret(key, Path(file)) if file else None


def _read_secret(key: str, path: Path) -> str:
    try:
        text = path.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SourceInvalid(
            f"connection.{key}_file is '{path}', which cannot be read ({error}): name a file that "
            "holds the secret and nothing else"
        ) from error
    if not text:
        raise SourceInvalid(
            f"connection.{key}_file is '{path}', which is empty: write the secret into it"
        )
    return text
