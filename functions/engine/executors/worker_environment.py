"""Environment of a worker: a user's function gets what programs need, and what its settings name.

Passwords of sources and of the catalog, and keys of other programs, are thus not handed to it.
"""

import os
import re
from collections.abc import Mapping

from functions.engine.executors.worker_protocol import CodeSource
from storage.config.settings import Settings

__all__ = ["unnamed_variables", "worker_environment"]

COMMON = re.compile(
    r"PATH|HOME|PWD|SHELL|TERM|USER|LOGNAME|HOSTNAME|LANG|LANGUAGE|LC_\w+|TZ|TZDIR|TMPDIR|TEMP|TMP"
    r"|LD_\w+|MALLOC_\w+|PYTHON\w*|VIRTUAL_ENV|CONDA_PREFIX|XDG_\w+|\w+_NUM_THREADS"
    r"|SSL_CERT_(?:FILE|DIR)|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|(?:https?|all|no)_proxy"
    r"|PG(?:HOST|PORT|USER|DATABASE|PASSFILE|SSL\w+)"
    r"|HOURSIGHT_(?:DATA|PROCESS|LOG_LEVEL|LOG_FORMAT)|ORT_DISABLE_TELEMETRY",
    re.IGNORECASE,
)
PASSWORD_IN_URL = re.compile(r"://[^/@]*@")


def worker_environment(
    source: CodeSource, settings: Settings, environment: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """The variables of `environment` for a worker of `source`: all but for a user's function."""
    if not _is_user_function(source):
        return dict(environment)
    named = _named(source, settings)
    return {n: text for n, text in environment.items() if n in named or _is_common(n, text)}


def unnamed_variables(
    source: CodeSource, settings: Settings, environment: Mapping[str, str] = os.environ
) -> list[str]:
    """The variables that a user's function seems to read, and that its worker does not get."""
    withheld = environment.keys() - worker_environment(source, settings, environment).keys()
    quoted = set(re.findall(r"""["'](\w+)["']""", source.text.decode(errors="replace")))
    return sorted(withheld & quoted)


def _is_user_function(source: CodeSource) -> bool:
    return source.path is not None and source.path.endswith(".py")


def _named(source: CodeSource, settings: Settings) -> frozenset[str]:
    of_function = settings.functions.get(source.name)
    return frozenset(of_function.environment if of_function else ())


def _is_common(name: str, text: str) -> bool:
    return bool(COMMON.fullmatch(name)) and not PASSWORD_IN_URL.search(text)
