"""Commands on the lake: sql, schema, backup, restore, rebuild, verify, delete."""

from contextlib import closing
from pathlib import Path

import click

from scripts.cli.group import cli, data_option
from scripts.cli.printer import say
from scripts.interrupts import Interrupts
from storage.platform.printable import printable


@cli.command(epilog='Example: hoursight sql "select server, score from fleet_now limit 5"')
@data_option
@click.argument("statement")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json", "parquet"]),
    default="table",
    show_default=True,
    help="How to print the rows.",
)
@click.option(
    "--unrestricted",
    is_flag=True,
    help="Run any SQL that DuckDB runs, also what writes or deletes files.",
)
def sql(data: Path, statement: str, form: str, unrestricted: bool) -> None:
    """Run one SQL SELECT over the lake, beside the running system. Ctrl-C ends it.

    STATEMENT is read-only: a SELECT or EXPLAIN with functions that only compute or read. It may
    read CSV, Parquet and JSON files of this machine. COPY, several statements, and functions that
    change files or settings are refused without --unrestricted.
    """
    with Interrupts() as interrupts:
        from scripts.cli.output import show_rows
        from scripts.cli.progress import rows_of
        from storage.query.reader import Reader

        with closing(Reader.open(data, unrestricted=unrestricted)) as reader:
            show_rows(rows_of(reader, statement, interrupts), form)


@cli.command(epilog="Example: hoursight schema forecasts")
@data_option
@click.argument("name", required=False)
def schema(data: Path, name: str | None) -> None:
    """List the tables and views, or the columns of one table."""
    from scripts.cli.output import show_schema
    from storage.config.settings import read_settings

    show_schema(name, read_settings(data).schema())


@cli.command(epilog="Example: hoursight backup /srv/backups/monday.tar")
@data_option
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def backup(data: Path, file: Path) -> None:
    """Write a backup of the whole data folder to FILE, while everything runs."""
    from scripts.cli.backup_restore import take_backup

    take_backup(data, file, say)


@cli.command(epilog="Example: hoursight restore /srv/backups/monday.tar --data /srv/again")
@data_option
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
def restore(data: Path, file: Path) -> None:
    """Restore the backup FILE into a new data folder, and verify every row."""
    from scripts.cli.backup_restore import restore_backup

    restore_backup(file, data, say)


@cli.command(epilog="Example: hoursight rebuild --data /srv/hoursight")
@data_option
@click.option(
    "--from-snapshot",
    "snapshot",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="The catalog snapshot to use; default: the newest one that can be read.",
)
@click.option("--files-only", is_flag=True, help="Use no catalog snapshot.")
@click.option("--force", is_flag=True, help="Rebuild a catalog that is not lost, too.")
def rebuild(data: Path, snapshot: Path | None, files_only: bool, force: bool) -> None:
    """Make the lake's lost catalog again, from its Parquet files and the newest catalog snapshot.

    Stop 'hoursight up' first. Rows that a newer file repeats count once, and servers that were
    deleted stay deleted. The rows of each table are counted before and after. The old catalog is
    kept, and nothing changes when the rebuild is cut off.
    """
    from scripts.cli.catalog_rebuild import rebuild_catalog

    rebuild_catalog(data, snapshot, files_only, force, say)


@cli.command(epilog="Example: hoursight verify")
@data_option
@click.option("--adopt", is_flag=True, help="Record the hash of files that have none.")
@click.option("--recover", is_flag=True, help="Take back rows of files that were put aside.")
@click.option(
    "--backup",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Take them from this backup.",
)
def verify(data: Path, adopt: bool, recover: bool, backup: Path | None) -> None:
    """Read every file of the lake, and compare it with the hash that the writer recorded.

    The system may be running. Exits with 1 if a file is damaged, truncated, missing or cannot be
    read. Files of an older lake have no known hash: --adopt decodes them and records it. --recover
    takes a file from the folder damaged/, or from a backup, if it is as it was written.
    """
    from scripts.cli.verification import recover_files, verify_lake

    if recover or backup:
        recover_files(data, backup, say)
    if not verify_lake(data, adopt, say):
        raise SystemExit(1)


@cli.command(epilog="Example: hoursight delete ppdb007 --why 'its owner asked' --yes")
@data_option
@click.argument("server")
@click.option("--why", help="The reason, kept with the deletion.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def delete(data: Path, server: str, why: str | None, yes: bool) -> None:
    """Delete all rows of SERVER from every table, and its name from every file.

    Its records go from the files in done/ and rejected/ of watched folders, too. What is left is
    named. Earlier backups, and logs that you keep, still contain it. Stop its source first: the
    next sample of the server adds it again, unless the settings refuse it ([deletions]).
    """
    from scripts.cli.server_deletion import count_rows, delete_server, question

    if yes:
        count_rows(data, server)  # an unknown server is an error
    else:
        click.confirm(printable(question(data, server)), abort=True)
    delete_server(data, server, why, say)
