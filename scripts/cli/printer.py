"""The printer of the command: what names, files and other programs wrote is escaped on its way.

Nothing else in `scripts` prints: ruff refuses `print`, `click.echo` and rich's Console elsewhere.
"""

import io
import sys

import click
from rich.console import Console  # noqa: TID251 - here is where it is made

from storage.platform.printable import printable, printable_lines

__all__ = [
    "Console",
    "console",
    "on_terminal",
    "say",
    "say_lines",
    "say_usage_error",
    "write_bytes",
]


def say(text: str = "", err: bool = False) -> None:
    """Print `text` as one line to stdout, or to stderr; unprintable characters are escaped."""
    click.echo(printable(text), err=err)  # noqa: TID251


def say_lines(text: str, err: bool = False) -> None:
    """Print a text of several lines, such as an error of a database; marks the continued ones."""
    click.echo(printable_lines(text), err=err)  # noqa: TID251


def say_usage_error(error: click.ClickException) -> None:
    """Print what click has to say about wrong arguments, which it quotes, to stderr."""
    text = io.StringIO()
    error.show(text)
    usage, mark, message = text.getvalue().rstrip().partition("Error: ")
    for line in usage.splitlines():
        say(line, err=True)
    say_lines(mark + message, err=True)


def write_bytes(content: bytes) -> None:
    """Write `content` to stdout as it is: data for a pipe or a file."""
    sys.stdout.flush()
    sys.stdout.buffer.write(content)


def on_terminal() -> bool:
    """Return True if stdout is a terminal."""
    return sys.stdout.isatty()


def console(err: bool = False, width: int | None = None) -> Console:
    """Return a rich console that takes no text for markup; it gets only printable texts."""
    return Console(stderr=err, width=width, markup=False, highlight=False, emoji=False)
