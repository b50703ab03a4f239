"""Commands on alerts: list, history, show, rules, and what people say about them."""

import sys
from pathlib import Path
from typing import Any

import click

from scripts.cli.group import cli, data_option

__all__ = ["alerts"]

_BY = click.option("--by", "made_by", default="", show_default="your login", help="Who says so.")
_NOTE = click.option("--note", default="", help="Why, in words.")


@cli.group(invoke_without_command=True, epilog="Example: hoursight alerts show 3fd0")
@data_option
@click.pass_context
def alerts(context: click.Context, data: Path) -> None:
    """List the open alerts; show, answer and silence them; check the rules."""
    if context.invoked_subcommand is None:
        context.invoke(list_alerts, data=data, history=False)


@alerts.command("list", epilog="Example: hoursight alerts list --history")
@data_option
@click.option("--history", is_flag=True, help="Those that ended within the last 7 days, too.")
def list_alerts(data: Path, history: bool) -> None:
    """List the open alerts, the worst first."""
    from scripts.cli.alert_list import list_alerts as run

    run(data, history)


@alerts.command("show", epilog="Example: hoursight alerts show 3fd0")
@data_option
@click.argument("episode")
def show_alert(data: Path, episode: str) -> None:
    """Show all events of EPISODE, given by its id or the beginning of it."""
    from scripts.cli.alert_list import show_alert as run

    run(data, episode)


@alerts.command("rules", epilog="Example: hoursight alerts rules")
@data_option
def show_rules(data: Path) -> None:
    """Show the rules in force, and check alerts/*.toml: what cannot be used, and why.

    Exit code 1 if something is refused.
    """
    from scripts.cli.alert_list import show_rules as run

    sys.exit(0 if run(data) else 1)


@alerts.command("ack", epilog="Example: hoursight alerts ack 3fd0 --note 'I look at it'")
@data_option
@click.argument("episode")
@_BY
@_NOTE
def acknowledge(data: Path, episode: str, **options: str) -> None:
    """Acknowledge EPISODE: it no longer escalates."""
    _mark(data, kind="acknowledged", episode=episode, **options)


@alerts.command("acting", epilog="Example: hoursight alerts acting 3fd0 --note 'restarting it'")
@data_option
@click.argument("episode")
@_BY
@_NOTE
def acting(data: Path, episode: str, **options: str) -> None:
    """Say that you act on EPISODE: if no breach follows it counts as averted, not as false."""
    _mark(data, kind="acting", episode=episode, **options)


@alerts.command("close", epilog="Example: hoursight alerts close 3fd0 --note 'decommissioned'")
@data_option
@click.argument("episode")
@_BY
@_NOTE
def close(data: Path, episode: str, **options: str) -> None:
    """Close EPISODE by hand."""
    _mark(data, kind="closed", episode=episode, **options)


@alerts.command("silence", epilog="Example: hoursight alerts silence 'db*' --for 2h --note patch")
@data_option
@click.argument("servers")
@click.option("--metric", help="Of this metric only.")
@click.option("--for", "lasts", help="For how long, such as 2h; else until it is ended.")
@click.option("--end", is_flag=True, help="End the silences of these servers (and metric).")
@_BY
@_NOTE
def silence(data: Path, servers: str, end: bool, **options: str | None) -> None:
    """Send nothing about SERVERS, a glob of their names. What would have paged is recorded."""
    _mark(data, kind="unsilence" if end else "silence", pattern=servers, **options)


@alerts.command("mark", epilog="Example: hoursight alerts mark deploy 'web-*' --note 'v2.1'")
@data_option
@click.argument("kind", type=click.Choice(["deploy", "remediation"]))
@click.argument("servers")
@click.option("--for", "lasts", show_default="8h", help="For how long it may have an effect.")
@_BY
@_NOTE
def add_mark(data: Path, servers: str, **options: str | None) -> None:
    """Mark a deployment or a remediation on SERVERS, a glob of their names."""
    _mark(data, pattern=servers, **options)


def _mark(data: Path, **fields: Any) -> None:
    from scripts.cli.alert_list import add_mark as run

    sys.exit(0 if run(data, {key: value for key, value in fields.items() if value}) else 1)
