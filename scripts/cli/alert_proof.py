"""Commands that prove alert rules before they are saved: alerts try and alerts import."""

import sys
from pathlib import Path
from typing import Any

import click

from scripts.cli.alert_commands import alerts
from scripts.cli.group import data_option
from scripts.cli.printer import say

__all__ = ["import_rules", "try_rule"]

_FILE = click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
_DAYS = click.option(
    "--days", type=click.FloatRange(1), default=7.0, show_default=True,
    help="How much of the lake, the newest.",
)  # fmt: skip
_JSON = click.option(
    "--json", "json_file", type=click.Path(path_type=Path, dir_okay=False),
    help="Write all numbers here.",
)  # fmt: skip


@alerts.command("try", epilog="Example: hoursight alerts try memory.toml --days 14")
@data_option
@click.argument("rule")
@_DAYS
@_JSON
def try_rule(**options: Any) -> None:
    """Tell what RULE would have done with the odds that are stored.

    RULE is a file written as those in the folder alerts/, which need not be there, or the name of
    a rule in force. Warnings are judged against what each rule calls a breach: right, wrong,
    missed, averted, withdrawn, how long before, and how many pages a week.
    """
    from scripts.cli.alert_trial import TrialOptions, command

    sys.exit(command(TrialOptions(**options), say))


@alerts.command("import", epilog="Example: hoursight alerts import node-alerts.yml")
@data_option
@_FILE
@_DAYS
@_JSON
def import_rules(**options: Any) -> None:
    """Tell what Prometheus alert rules in FILE would have done, and will do tonight.

    Rules on our metrics, by our names or those of node_exporter, are replayed on the lake's
    history and its newest forecasts. The others are named with the reason. Nothing is changed.
    """
    from scripts.cli.alert_import import ImportOptions, command

    sys.exit(command(ImportOptions(**options), say))
