"""Commands on API keys: keys create, list, revoke."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scripts.cli.command_audit import note_command
from scripts.cli.group import cli, data_option
from scripts.cli.printer import say

if TYPE_CHECKING:
    from storage.config.key_usage import Tally

# By the label of hoursight_refused_requests_total.
REFUSALS = {
    "no_key": "without a key", "unknown_key": "with an unknown or revoked key",
    "scope": "with a key of another scope", "other_site": "from pages of other sites",
    "malformed": "not a valid request", "keys_unreadable": "while keys.json could not be read",
}  # fmt: skip


@cli.group(epilog="Example: hoursight keys create --scope feed --name telegraf")
def keys() -> None:
    """Create, list and revoke API keys, for programs that push rows and readers on other machines.

    Without any key, everything is allowed from this machine and nothing from others. Once there is
    one, everything needs a key.
    """


@keys.command("create", epilog="Example: hoursight keys create --scope feed --name telegraf")
@data_option
@click.option(
    "--scope", "scopes", multiple=True, required=True,
    type=click.Choice(["feed", "read", "operate", "admin"]),
    help="What it allows: pushing rows, reading, answering alerts as well, or everything.",
)  # fmt: skip
@click.option("--name", required=True, help="Who will use it.")
def create_key(data: Path, scopes: tuple[str, ...], name: str) -> None:
    """Create a key and print it, only this once."""
    from storage.config import api_keys
    from storage.config.folders import Folders

    token = api_keys.create_key(Folders.at(data), name, scopes, datetime.now(UTC))
    note_command(data, "keys create", name, ",".join(scopes))
    say(token)
    say("The key is shown only this once. Send it as the header X-API-Key.", err=True)


@keys.command("list", epilog="Example: hoursight keys list")
@data_option
def list_keys(data: Path) -> None:
    """List the keys with their scopes and last use, then the refused requests by reason."""
    from storage.config.api_keys import ApiKeys
    from storage.config.folders import Folders
    from storage.config.key_usage import KeyUsage, read_key_usage

    folders = Folders.at(data)
    try:
        usage = read_key_usage(folders)
    except OSError as error:
        say(f"the use of the keys cannot be read: {error}", err=True)
        usage = KeyUsage()
    for key in ApiKeys(folders).known():
        made = f"made {key.created_at:%Y-%m-%d %H:%M}"
        used = _use("last used", usage.used.get(key.id)) or "not used yet"
        say(f"{key.name:20} {','.join(key.scopes):16} {key.id}  {made}  {used}")
    for reason, tally in sorted(usage.refused.items()):
        say(f"refused, {REFUSALS.get(reason, reason)}: {_use('last', tally)}", err=True)


def _use(verb: str, tally: "Tally | None") -> str:
    if tally is None:
        return ""
    requests = f"{tally.requests} request{'' if tally.requests == 1 else 's'}"
    return f"{verb} {tally.last_at:%Y-%m-%d %H:%M} from {tally.address}, {requests}"


@keys.command("revoke", epilog="Example: hoursight keys revoke telegraf")
@data_option
@click.argument("name")
def revoke_key(data: Path, name: str) -> None:
    """Revoke the key with that NAME or id; it is rejected from now on."""
    from storage.config import api_keys
    from storage.config.folders import Folders

    folders = Folders.at(data)
    key = api_keys.revoke_key(folders, name)
    note_command(data, "keys revoke", key.name, ",".join(key.scopes))
    say(f"The key {key.name!r} ({','.join(key.scopes)}) is revoked.")
    if not api_keys.ApiKeys(folders).known():
        say(
            "No key is left: every request is refused until you create one. To go back to no keys, "
            f"remove {folders.keys} and restart the site.",
            err=True,
        )
