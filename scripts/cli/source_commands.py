"""Commands that bring samples: sources list, test, new, and import."""

import sys
from pathlib import Path

import click

from functions.normalize.stock_mappings import stock_names
from scripts.cli.group import cli, data_option, unused_data_option
from scripts.cli.printer import say


@cli.group(invoke_without_command=True, epilog="Example: hoursight sources new mongodb")
@data_option
@click.pass_context
def sources(context: click.Context, data: Path) -> None:
    """List the sources: last sample, lag, rate, and what is wrong in words."""
    if context.invoked_subcommand is None:
        context.invoke(list_sources, data=data)


@sources.command("list", epilog="Example: hoursight sources list")
@data_option
def list_sources(data: Path) -> None:
    """The same list."""
    from scripts.cli.source_list import list_sources as run

    run(data)


@sources.command("test", epilog="Example: hoursight sources test var/sources/shop.toml --once")
@data_option
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--once/--all", default=True, help="One page, or all that the source has.")
@click.option("--verbose", is_flag=True, help="Show the first document as it came.")
def try_source(data: Path, file: Path, once: bool, verbose: bool) -> None:
    """Connect as FILE says, fetch a page, and show field by field what becomes of it.

    Nothing is written.
    """
    from scripts.cli.source_list import try_source as run

    sys.exit(0 if run(data, file, say, once=once, verbose=verbose) else 1)


@sources.command("new", epilog="Example: hoursight sources new files > var/sources/history.toml")
@unused_data_option
@click.argument("kind")
def new_source(kind: str) -> None:
    """Print a commented source file of KIND: mongodb, elasticsearch, prometheus or files."""
    from scripts.cli.source_list import template

    for line in template(kind).splitlines():
        say(line)


@cli.command("import", epilog="Example: hoursight import history.csv --like sadf")
@data_option
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option(
    "--like", metavar="NAME|FILE",
    help="The program that wrote it, or a source file whose mapping and site are used; else fields "
    f"of common names are read. NAME is one of {', '.join(stock_names())}.",
)  # fmt: skip
@click.option("--server", default="", help="The server, where the file does not name it.")
@click.option("--metric", default="", help="The metric, where the file does not name it (grafana).")
@click.option("--unit", default="", help="The unit of --metric, such as fraction or bytes_s.")
@click.option("--time-zone", default="", help="The zone of times without one, such as UTC.")
@click.option("--time-format", default="", help="The format of times, such as epoch_ms.")
@click.option("--decimal", default="", help="The sign before the fraction of numbers: '.' or ','.")
@click.option("--delimiter", default="", help="What divides the columns of CSV, if not , ; | tab.")
@click.option("--encoding", default="", help="The encoding of text, such as latin-1.")
def import_(data: Path, file: Path, like: str | None, **options: str) -> None:
    """Bring history from FILE (CSV, JSON lines or Parquet) into the lake.

    Killed, the same command goes on where it was; a sample of a server and time is kept once.
    """
    from scripts.cli.import_file import import_file
    from scripts.cli.import_mapping import ImportOptions

    import_file(data, file, like, say, ImportOptions(**options))
