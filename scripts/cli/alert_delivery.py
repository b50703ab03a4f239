"""Command on the delivery of alerts: alerts send."""

import sys
from pathlib import Path

import click

from scripts.cli.alert_commands import alerts
from scripts.cli.group import data_option
from scripts.cli.printer import say


@alerts.command("send", epilog="Example: hoursight alerts send --dry-run 3fd0 on-call")
@data_option
@click.argument("episode")
@click.argument("channel")
@click.option("--dry-run", is_flag=True, help="Print the bytes, with secrets masked; send nothing.")
def send_alert(data: Path, episode: str, channel: str, dry_run: bool) -> None:
    """Send the newest message of EPISODE to CHANNEL again, now, under the same key.

    Exit code 1 if the receiver did not take it.
    """
    from scripts.cli.alert_message import send_message

    sys.exit(0 if send_message(data, episode, channel, say, dry_run=dry_run) else 1)
