"""Hoursight's door: the command, and `connect`, `call` and `Forecaster` for notebooks.

>>> lake = hoursight.connect("var")
>>> lake.sql("select server, score from fleet_now order by score desc").to_pandas()
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    import pyarrow as pa

    from functions.runtime.model import Forecaster
    from storage.reader import Reader

__all__ = ["Forecaster", "Lake", "call", "connect", "main"]
__version__ = "0.1.0"

ROOMS = frozenset({"storage", "functions", "model_export", "scripts", "web"})

C = TypeVar("C", bound=Callable[..., Any])


class Lake:
    """A read-only door to one lake, beside the running system; needs no server."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def sql(self, text: str, **parameters: Any) -> pa.Table:
        """The rows of one SELECT as an Arrow table; `$name` stands for the parameter `name`."""
        return self._reader.query(text, **parameters)

    def close(self) -> None:
        """Let go of the lake."""
        self._reader.close()

    def __enter__(self) -> Lake:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def connect(data: Path | str = "var") -> Lake:
    """Open the lake in folder `data`; storage.reader.LakeMissing says when there is none."""
    from storage.reader import Reader

    return Lake(Reader.open(data))


def call(
    data: Path | str,
    name: str,
    now: datetime | None = None,
    *,
    body: Any = None,
    files: Sequence[Path | str] = (),
    dry_run: bool = False,
) -> dict[str, pa.Table]:
    """Run a function as `hoursight call` does; its rows by table. Raises CallFailed."""
    from scripts.call import roster_of

    paths = tuple(Path(file).absolute() for file in files)
    run = roster_of(Path(data)).call(name, now, dry=dry_run, paths=paths, body=body)
    return dict(run.batch.rows)


def __getattr__(name: str) -> Any:
    """`hoursight.Forecaster`, loaded when it is asked for: most commands need no model."""
    if name == "Forecaster":
        from functions.runtime.model import Forecaster

        return Forecaster
    raise AttributeError(f"module 'hoursight' has no attribute {name!r}")


def _data_option(command: C) -> C:
    return click.option(
        "--data",
        type=click.Path(path_type=Path, file_okay=False),
        default="var",
        show_default=True,
        envvar="HOURSIGHT_DATA",
        help="The data folder.",
    )(command)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hoursight")
def cli() -> None:
    """Tells you, hours ahead and with honest odds, which server is going to be in trouble."""


@cli.command(epilog="Example: hoursight demo --port 8090 --scenario degrading")
@_data_option
@click.option("--port", type=click.IntRange(1, 65535), help="Where the site listens.")
@click.option("--servers", default=20, show_default=True, help="Size of a new simulated fleet.")
@click.option("--scenario", help="What the fleet plays: see 'hoursight scenario --help'.")
@click.option("--mongodb", is_flag=True, help="Read the fleet from a real mongod, as a stranger.")
def demo(data: Path, port: int | None, servers: int, scenario: str | None, mongodb: bool) -> None:
    """Run a simulated fleet and this host, everything on, on this machine."""
    from scripts import launch

    _check_scenario(scenario)
    if mongodb:
        sys.exit(0 if launch.run_mongodb(data, port, servers, click.echo) else 1)
    launch.run(data, port, servers, scenario, click.echo)


@cli.command(epilog="Example: hoursight up --data /srv/hoursight")
@_data_option
@click.option("--port", type=click.IntRange(1, 65535), help="Where the site listens.")
def up(data: Path, port: int | None) -> None:
    """Run the Procfile: each process alone, and started again alone when it ends."""
    from scripts.launch import supervise
    from storage.settings import read_settings

    web = read_settings(data).web
    supervise(data, web.host, port or web.port, click.echo)


@cli.command(epilog="Example: hoursight scenario cascade")
@_data_option
@click.argument("name")
def scenario(data: Path, name: str) -> None:
    """Switch what the simulated fleet plays, from now on.

    NAME is healthy, mixed, degrading, critical or cascade.
    """
    from scripts.launch import set_scenario

    _check_scenario(name)
    set_scenario(data, name)
    click.echo(f"The simulator plays '{name}' from now on.")


@cli.command("call", epilog="Example: hoursight call host --once --verbose")
@_data_option
@click.argument("name")
@click.option("--once/--repeat", default=True, help="Run once, or on its schedule until Ctrl-C.")
@click.option("--now", type=click.DateTime(["%Y-%m-%dT%H:%M:%SZ"]), help="The time to believe.")
@click.option("--body", help="JSON to hand over, as a request does.")
@click.option(
    "--file", "files", multiple=True, type=click.Path(path_type=Path, resolve_path=True),
    help="A file to hand over; may be given several times.",
)  # fmt: skip
@click.option("--verbose", is_flag=True, help="Show the rows, metric by metric.")
@click.option("--dry-run", is_flag=True, help="Write nothing.")
def call_command(data: Path, name: str, now: datetime | None, **options: Any) -> None:
    """Run the function NAME now and put its rows into the inbox."""
    from scripts.call import call_and_tell

    sys.exit(0 if call_and_tell(data, name, now, click.echo, **options) else 1)


@cli.command(epilog='Example: hoursight sql "select server, score from fleet_now limit 5"')
@_data_option
@click.argument("statement")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json", "parquet"]),
    default="table",
    show_default=True,
    help="How to print the rows.",
)
def sql(data: Path, statement: str, form: str) -> None:
    """Run one SQL SELECT over the lake, beside the running system. Ctrl-C ends it."""
    from scripts.progress import rows_of
    from scripts.show import show_rows
    from storage.reader import Reader

    with closing(Reader.open(data)) as reader:
        show_rows(rows_of(reader, statement), form)


@cli.command(epilog="Example: hoursight schema forecasts")
@_data_option
@click.argument("name", required=False)
def schema(data: Path, name: str | None) -> None:
    """List the tables and views, or the columns of one table."""
    from scripts.show import show_schema
    from storage.settings import read_settings

    show_schema(name, read_settings(data).schema())


@cli.group(invoke_without_command=True, epilog="Example: hoursight functions why host")
@_data_option
@click.pass_context
def functions(context: click.Context, data: Path) -> None:
    """List the functions, show their runs, tell why one failed, make a new one."""
    if context.invoked_subcommand is None:
        context.invoke(list_functions, data=data)


def _given_before() -> Path:
    """The --data that stands before the subcommand."""
    parent = click.get_current_context().parent
    assert parent is not None
    return Path(parent.params["data"])


_given_data_option = click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), default=_given_before,
    help="The data folder.",
)  # fmt: skip


@functions.command("list", epilog="Example: hoursight functions list")
@_given_data_option
def list_functions(data: Path) -> None:
    """List the functions: what sets them off, what they write, how they fare."""
    from scripts.call import roster_of
    from scripts.functions_view import show_functions

    show_functions(roster_of(data))


@functions.command("runs", epilog="Example: hoursight functions runs forecast --last 5")
@_given_data_option
@click.argument("name", required=False)
@click.option("--last", default=20, show_default=True, help="How many.")
def show_runs(data: Path, name: str | None, last: int) -> None:
    """List the newest runs, of the function NAME or of all."""
    from scripts import functions_view

    functions_view.show_runs(data, name, last)


@functions.command(epilog="Example: hoursight functions why host")
@_given_data_option
@click.argument("name")
def why(data: Path, name: str) -> None:
    """Tell in words how the function NAME last failed, what happens next and what to do."""
    from scripts import functions_view
    from scripts.call import roster_of

    for line in functions_view.why(roster_of(data), name):
        click.echo(line)


@functions.command(epilog="Example: hoursight functions new disk_of_nas")
@_given_data_option
@click.argument("name")
def new(data: Path, name: str) -> None:
    """Write a function NAME that runs as it is, and a test beside it, into the data folder."""
    from scripts.call import roster_of
    from scripts.functions_view import make_new

    for path in make_new(roster_of(data), name):
        click.echo(f"wrote {path}")
    click.echo(f"It is live in a running system. Try it: hoursight call {name} --body '{{…}}'")


@functions.command(epilog="Example: hoursight functions revive host")
@_given_data_option
@click.argument("name")
def revive(data: Path, name: str) -> None:
    """Let the parked function NAME run again at once."""
    from scripts import functions_view
    from scripts.call import roster_of

    click.echo(functions_view.revive(roster_of(data), name))


@cli.group(invoke_without_command=True, epilog="Example: hoursight sources new mongodb")
@_data_option
@click.pass_context
def sources(context: click.Context, data: Path) -> None:
    """List the sources: last sample, lag, rate, and what is wrong in words."""
    context.obj = data
    if context.invoked_subcommand is None:
        from scripts.sources_view import list_sources

        list_sources(data)


@sources.command("list", epilog="Example: hoursight sources list")
@click.pass_obj
def list_sources(data: Path) -> None:
    """The same list."""
    from scripts.sources_view import list_sources as run

    run(data)


@sources.command("test", epilog="Example: hoursight sources test var/sources/shop.toml --once")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--once/--all", default=True, help="One page, or all that the source has.")
@click.option("--verbose", is_flag=True, help="Show the first document as it came.")
@click.pass_obj
def try_source(data: Path, file: Path, once: bool, verbose: bool) -> None:
    """Connect as FILE says, fetch a page, and show field by field what becomes of it.

    Nothing is written.
    """
    from scripts.sources_view import try_source as run

    sys.exit(0 if run(data, file, click.echo, once=once, verbose=verbose) else 1)


@sources.command("new", epilog="Example: hoursight sources new files > var/sources/history.toml")
@click.argument("kind")
def new_source(kind: str) -> None:
    """Print a commented source file of KIND: mongodb, elasticsearch, prometheus or files."""
    from scripts.sources_view import template

    click.echo(template(kind), nl=False)


@cli.command("import", epilog="Example: hoursight import history.csv")
@_data_option
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option(
    "--like", type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="A source file whose mapping and site are used; else the stock names are tried.",
)  # fmt: skip
def import_(data: Path, file: Path, like: Path | None) -> None:
    """Bring history from FILE (CSV, JSON lines or Parquet) into the lake.

    Killed, the same command goes on where it was; a sample of a server and time is kept once.
    """
    from scripts.import_file import import_file

    rows = import_file(data, file, like, click.echo)
    click.echo(f"{rows:,} rows are in the inbox.")


@cli.group(epilog="Example: hoursight keys create --scope feed --name telegraf")
def keys() -> None:
    """Make API keys, list them, take them back: for those who push rows, and for readers elsewhere.

    While there is none, everything may be done from this machine and nothing from others.
    """


@keys.command("create", epilog="Example: hoursight keys create --scope feed --name telegraf")
@_data_option
@click.option(
    "--scope", "scopes", multiple=True, required=True, type=click.Choice(["feed", "read", "admin"]),
    help="What it is good for: pushing rows, reading, or everything; may be given several times.",
)  # fmt: skip
@click.option("--name", required=True, help="Who is going to use it.")
def create_key(data: Path, scopes: tuple[str, ...], name: str) -> None:
    """Make a key and show it, this once."""
    from storage import keys
    from storage.folders import Folders

    token = keys.create_key(Folders.at(data), name, scopes, datetime.now(UTC))
    click.echo(token)
    click.echo("It is shown this once. Send it as the header X-API-Key.", err=True)


@keys.command("list", epilog="Example: hoursight keys list")
@_data_option
def list_keys(data: Path) -> None:
    """List the keys: their names and what they are good for."""
    from storage.folders import Folders
    from storage.keys import Keyring

    for key in Keyring(Folders.at(data)).known():
        made = key.created_at.strftime("%Y-%m-%d %H:%M")
        click.echo(f"{key.name:20} {','.join(key.scopes):16} {key.id}  made {made}")


@keys.command("revoke", epilog="Example: hoursight keys revoke telegraf")
@_data_option
@click.argument("name")
def revoke_key(data: Path, name: str) -> None:
    """Take back the key of that NAME or id; it is refused from now on."""
    from storage import keys
    from storage.folders import Folders

    key = keys.revoke_key(Folders.at(data), name)
    click.echo(f"The key {key.name!r} ({','.join(key.scopes)}) is no longer taken.")


@cli.command(epilog="Example: hoursight train --files history.parquet --minutes 2")
@_data_option
@click.option(
    "--files", multiple=True, type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Parquet or CSV to learn from, instead of the lake; may be given several times.",
)  # fmt: skip
@click.option(
    "--from", "start", default="serving", show_default=True,
    help="Go on from 'shipped', 'serving', a model's name or a .pt file; or 'scratch'.",
)  # fmt: skip
@click.option("--seed", default=0, show_default=True, help="The same seed, the same weights.")
@click.option("--steps", type=click.IntRange(1), help="How long at most.")
@click.option("--minutes", type=click.FloatRange(0.01), help="How long at most, by the clock.")
@click.option("--days", default=60.0, show_default=True, help="How much of the lake to learn from.")
@click.option(
    "--threads", type=click.IntRange(1), default=1, show_default=True,
    help="More help only on cores that do nothing else.",
)  # fmt: skip
@click.option("--resume/--fresh", default=True, help="Go on where a training was killed, or not.")
@click.option("--promote/--candidate", default=True, help="Let it serve when it is better, or not.")
def train(data: Path, resume: bool, **asked: Any) -> None:
    """Learn from the fleet's own history, and let the result serve when it is better.

    Every fifth server and the newest hours are kept aside; the result serves only when it beats
    the serving model and naive forecasts on the newest ones. Killed, it goes on when called again.
    """
    from scripts.training import Asked, command

    command(Asked(data, fresh=not resume, **asked), click.echo)


@cli.command(epilog="Example: hoursight export serving --out /srv/model.onnx")
@_data_option
@click.argument("name", default="serving")
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False))
def export(data: Path, name: str, out: Path) -> None:
    """Write the model NAME (or a .pt file) as ONNX with its card, verified against PyTorch."""
    from scripts.training import export_command

    export_command(data, name, out, click.echo)


@cli.group(invoke_without_command=True, epilog="Example: hoursight models rollback")
@_data_option
@click.pass_context
def models(context: click.Context, data: Path) -> None:
    """List the models, promote one, or go back to the one before."""
    if context.invoked_subcommand is None:
        from scripts.shelf import show_models

        show_models(data)


@models.command("promote", epilog="Example: hoursight models promote shipped")
@_given_data_option
@click.argument("name")
def promote_model(data: Path, name: str) -> None:
    """Let the model NAME serve, whatever the gate said; 'shipped' is the package's own."""
    from scripts.shelf import promote

    promote(data, name, click.echo)


@models.command("rollback", epilog="Example: hoursight models rollback")
@_given_data_option
def roll_back_model(data: Path) -> None:
    """Let the model serve that did before the present one."""
    from scripts.shelf import roll_back

    roll_back(data, click.echo)


@cli.command(epilog="Example: hoursight backup /srv/backups/monday.tar")
@_data_option
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def backup(data: Path, file: Path) -> None:
    """Write all that there is into FILE, while everything runs."""
    from scripts.safety import take_backup

    take_backup(data, file, click.echo)


@cli.command(epilog="Example: hoursight restore /srv/backups/monday.tar --data /srv/again")
@_data_option
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
def restore(data: Path, file: Path) -> None:
    """Make a new data folder from the backup FILE, and verify every row of it."""
    from scripts.safety import put_back

    put_back(file, data, click.echo)


@cli.command(epilog="Example: hoursight delete ppdb007 --why 'its owner asked' --yes")
@_data_option
@click.argument("server")
@click.option("--why", help="Is written down with the deletion.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(data: Path, server: str, why: str | None, yes: bool) -> None:
    """Delete all rows of SERVER from every table, and its name from every file.

    Stop its source first: with its next sample it is known again. Backups made before still have
    it.
    """
    from scripts.safety import count_rows, delete_server

    rows = count_rows(data, server)
    if not yes:
        click.confirm(f"Delete {rows:,} rows of {server} for good?", abort=True)
    delete_server(data, server, why, click.echo)


@cli.command(epilog="Example: hoursight doctor --data /srv/hoursight")
@_data_option
def doctor(data: Path) -> None:
    """Check everything that a forecast needs, and say what to do about what is wrong."""
    from scripts.doctor import examine

    sys.exit(0 if examine(data, click.echo) else 1)


@cli.command(epilog="Example: hoursight backtest history.parquet --html report.html")
@_data_option
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--lake", is_flag=True, help="The history in the data folder, instead of files.")
@click.option("--model", type=click.Path(path_type=Path), help="A model file to try instead.")
@click.option(
    "--origins",
    type=click.IntRange(1),
    default=14,
    show_default=True,
    help="From how many times, 8 h apart, to forecast; the last ones.",
)
@click.option("--servers", help="Only these: names and patterns, as in 'ppdb*,web1'.")
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write all numbers here.",
)
@click.option(
    "--html",
    "html_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a report with pictures here.",
)
def backtest(**asked: Any) -> None:
    """Tell what the forecast would have been worth on the history in FILES, or in the lake.

    FILES are Parquet or CSV with ts, server and any of the 14 metrics, at any cadence. The exit
    code is 1 when the forecast served loses to a naive one (its loss over all metrics is higher
    than that of the value 24 h before, or of the last value), and 2 for bad input.
    """
    from scripts.backtest import Asked, command

    sys.exit(command(Asked(**asked), click.echo))


def main(arguments: list[str] | None = None) -> None:
    """The command. What goes wrong is said in a sentence, with the remedy, and exits with 1."""
    try:
        cli(arguments, standalone_mode=False)
    except click.exceptions.Exit as leave:
        sys.exit(leave.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except Exception as error:
        if not _is_ours(error):
            raise
        click.echo(f"hoursight: {error}", err=True)
        sys.exit(1)


def _is_ours(error: Exception) -> bool:
    """Whether an error was made for people: those of our own rooms are."""
    return type(error).__module__.split(".")[0] in ROOMS


def _check_scenario(name: str | None) -> None:
    from functions.simulation.incidents import SCENARIOS

    if name is not None and name not in SCENARIOS:
        raise click.BadParameter(f"{name!r} is no scenario: choose {', '.join(SCENARIOS)}")


if __name__ == "__main__":
    main()
