"""Command on the monthly report."""

from pathlib import Path

import click

from scripts.cli.group import cli, data_option
from scripts.cli.printer import say

__all__ = ["report"]


@cli.command(epilog="Example: hoursight report --month 2026-10 --html october.html")
@data_option
@click.option("--month", default="", metavar="YYYY-MM", help="Which month; else the present one.")
@click.option(
    "--html", "html_file", type=click.Path(path_type=Path, dir_okay=False),
    help="Write the report here, as one file to read and print.",
)  # fmt: skip
def report(data: Path, month: str, html_file: Path | None) -> None:
    """Tell which promises were kept in a month: accuracy, bands, warnings, uptime of the loop."""
    from scripts.cli.monthly_report import write_report

    write_report(data, month, html_file, say)
