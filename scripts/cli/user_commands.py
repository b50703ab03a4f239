"""Commands on the people who log in at the site: users add, list, passwd, remove."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from scripts.cli.command_audit import note_command
from scripts.cli.group import cli, data_option
from scripts.cli.printer import say

EXAMPLE = "Example: hoursight users add ann --role operator"
MAX_PASSWORD_LINE = 10_000


@cli.group(epilog=EXAMPLE)
def users() -> None:
    """Add, list and remove the people who log in at the site, each with a role.

    A viewer reads, an operator also answers and silences alerts, an admin may do everything. Once
    there is a user, everything needs a login or an API key.
    """


@users.command("add", epilog=EXAMPLE)
@data_option
@click.argument("name")
@click.option(
    "--role", required=True, type=click.Choice(["viewer", "operator", "admin"]),
    help="What the user may do.",
)  # fmt: skip
def add_user(data: Path, name: str, role: str) -> None:
    """Add the user NAME; the password is prompted for, or the first line of standard input."""
    from storage.config import users
    from storage.config.folders import Folders

    users.add_user(Folders.at(data), name, role, _password(name), datetime.now(UTC))
    note_command(data, "users add", name, role)
    say(f"{name} may log in as {role}.")


@users.command("list", epilog="Example: hoursight users list")
@data_option
def list_users(data: Path) -> None:
    """List the users with their roles."""
    from storage.config.folders import Folders
    from storage.config.users import Users

    for user in Users(Folders.at(data)).known():
        say(f"{user.name:20} {user.role:10} added {user.created_at:%Y-%m-%d %H:%M}")


@users.command("passwd", epilog="Example: hoursight users passwd ann")
@data_option
@click.argument("name")
def change_password(data: Path, name: str) -> None:
    """Change the password of the user NAME, who is logged out everywhere."""
    from storage.config import users
    from storage.config.folders import Folders

    users.change_password(Folders.at(data), name, _password(name))
    note_command(data, "users passwd", name)
    say(f"The password of {name} is changed; open sessions have ended.")


@users.command("remove", epilog="Example: hoursight users remove ann")
@data_option
@click.argument("name")
def remove_user(data: Path, name: str) -> None:
    """Remove the user NAME, who is logged out at once."""
    from storage.config import users
    from storage.config.folders import Folders

    folders = Folders.at(data)
    user = users.remove_user(folders, name)
    note_command(data, "users remove", user.name, user.role)
    say(f"The user {user.name!r} ({user.role}) is removed; open sessions have ended.")
    if not users.Users(folders).known():
        say(
            "No user is left: the site stays closed to requests without a key. To go back to no "
            f"users, remove {folders.users} and restart the site.",
            err=True,
        )


def _password(name: str) -> str:
    """Return the password: prompted for twice on a terminal, else read from standard input."""
    if sys.stdin.isatty():
        text: str = click.prompt(f"Password of {name}", hide_input=True, confirmation_prompt=True)
        return text
    return sys.stdin.readline(MAX_PASSWORD_LINE).rstrip("\r\n")
