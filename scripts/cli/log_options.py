"""`--log-level` and `--log-format`, of the group and of the commands that run processes."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from storage.platform import logs

__all__ = ["log_options", "log_to", "names_a_level"]

C = TypeVar("C", bound=Callable[..., Any])

_LEVEL, _FORMAT = "hoursight.log_level", "hoursight.log_format"


def log_options(command: C) -> C:
    """Add both options to a command; `log_to` uses the values given last."""
    level = click.option(
        "--log-level", envvar=logs.LEVEL_VARIABLE, expose_value=False, metavar="LEVEL",
        callback=_keep(_LEVEL, logs.check_level),
        help="debug, info, warning or error; also by logger: info,storage.lake.writer=debug.",
    )  # fmt: skip
    form = click.option(
        "--log-format", envvar=logs.FORMAT_VARIABLE, expose_value=False, metavar="FORMAT",
        callback=_keep(_FORMAT, logs.check_format), help="text or json.",
    )  # fmt: skip
    return level(form(command))


def log_to(process: str, level: str, stream: logs.LogStream | None = None) -> None:
    """Configure logging as the options say; `level` and stderr are the defaults."""
    meta = click.get_current_context().meta
    logs.configure(process, meta.get(_LEVEL, level), meta.get(_FORMAT, "text"), stream)


def names_a_level() -> bool:
    """Return True if a level was given; then all lines of that level are printed."""
    return _LEVEL in click.get_current_context().meta


def _keep(
    key: str, check: Callable[[str], str]
) -> Callable[[click.Context, click.Parameter, str | None], None]:
    def keep(context: click.Context, _: click.Parameter, value: str | None) -> None:
        if value is None:
            return
        try:
            context.meta[key] = check(value)
        except logs.LogOptionInvalid as error:
            raise click.BadParameter(str(error)) from error

    return keep
