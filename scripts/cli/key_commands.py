"""Commands on API keys: keys create, list, revoke."""

from datetime import UTC, datetime
from pathlib import Path

import click

from scripts.cli.group import cli, data_option
from scripts.cli.printer import say


@cli.group(epilog="Example: hoursight keys create --scope feed --name telegraf")
def keys() -> None:
    """Create, list and revoke API keys, for programs that push rows and readers on other machines.

    Without any key, everything is allowed from this machine and nothing from others.
    """


@keys.command("create", epilog="Example: hoursight keys create --scope feed --name telegraf")
@data_option
@click.option(
    "--scope", "scopes", multiple=True, required=True, type=click.Choice(["feed", "read", "admin"]),
    help="What the key allows: pushing rows, reading, or everything; may be given several times.",
)  # fmt: skip
@click.option("--name", required=True, help="Who will use it.")
def create_key(data: Path, scopes: tuple[str, ...], name: str) -> None:
    """Create a key and print it, only this once."""
    from storage.config import api_keys
    from storage.config.folders import Folders

    token = api_keys.create_key(Folders.at(data), name, scopes, datetime.now(UTC))
    say(token)
    say("The key is shown only this once. Send it as the header X-API-Key.", err=True)


@keys.command("list", epilog="Example: hoursight keys list")
@data_option
def list_keys(data: Path) -> None:
    """List the keys with their scopes."""
    from storage.config.api_keys import ApiKeys
    from storage.config.folders import Folders

    for key in ApiKeys(Folders.at(data)).known():
        made = key.created_at.strftime("%Y-%m-%d %H:%M")
        say(f"{key.name:20} {','.join(key.scopes):16} {key.id}  made {made}")


@keys.command("revoke", epilog="Example: hoursight keys revoke telegraf")
@data_option
@click.argument("name")
def revoke_key(data: Path, name: str) -> None:
    """Revoke the key with that NAME or id; it is rejected from now on."""
    from storage.config import api_keys
    from storage.config.folders import Folders

    key = api_keys.revoke_key(Folders.at(data), name)
    say(f"The key {key.name!r} ({','.join(key.scopes)}) is revoked.")
