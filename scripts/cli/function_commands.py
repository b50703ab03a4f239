"""Commands on functions: call, quiet, and functions list, runs, why, new, resume."""

import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from scripts.cli.group import cli, data_option
from scripts.cli.printer import say


@cli.command("call", epilog="Example: hoursight call host --once --verbose")
@data_option
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
    from scripts.cli.call import call_function

    sys.exit(0 if call_function(data, name, now, say, **options) else 1)


@cli.command("quiet", epilog="Example: hoursight quiet web-1 --for 20m && reboot")
@data_option
@click.argument("server")
@click.option("--for", "lasts", default="20m", show_default=True, help="How long it is away.")
@click.option("--within", default="8h", show_default=True, help="It has to begin within this time.")
@click.option("--json", "as_json", is_flag=True, help="The answer as JSON.")
def quiet_command(data: Path, server: str, lasts: str, within: str, as_json: bool) -> None:
    """Say when SERVER can be rebooted with the least harm, with the odds.

    Exit codes: 0 now is as good as the best time, 1 wait until the time that is printed, 2 not
    known.
    """
    from scripts.cli.quiet import quiet

    sys.exit(quiet(data, server, lasts, within, as_json))


@cli.group(invoke_without_command=True, epilog="Example: hoursight functions why host")
@data_option
@click.pass_context
def functions(context: click.Context, data: Path) -> None:
    """List the functions, show their runs, tell why one failed, make a new one."""
    if context.invoked_subcommand is None:
        context.invoke(list_functions, data=data)


@functions.command("list", epilog="Example: hoursight functions list")
@data_option
def list_functions(data: Path) -> None:
    """List the functions: what sets them off, what they write, how they fare."""
    from scripts.cli import function_list

    function_list.show_functions(function_list.runner_of(data))


@functions.command("runs", epilog="Example: hoursight functions runs forecast --last 5")
@data_option
@click.argument("name", required=False)
@click.option("--last", default=20, show_default=True, help="How many.")
def show_runs(data: Path, name: str | None, last: int) -> None:
    """List the newest runs, of the function NAME or of all."""
    from scripts.cli import function_list

    function_list.show_runs(data, name, last)


@functions.command(epilog="Example: hoursight functions why host")
@data_option
@click.argument("name")
def why(data: Path, name: str) -> None:
    """Tell in words how the function NAME last failed, what happens next and what to do."""
    from scripts.cli import function_list

    for line in function_list.why(function_list.runner_of(data), name):
        say(line)


@functions.command(epilog="Example: hoursight functions new disk_of_nas")
@data_option
@click.argument("name")
def new(data: Path, name: str) -> None:
    """Write a function NAME that runs as it is, and a test beside it, into the data folder."""
    from scripts.cli import function_list

    for path in function_list.make_new(function_list.runner_of(data), name):
        say(f"wrote {path}")
    say(f"It is live in a running system. Try it: hoursight call {name} --body '{{…}}'")


@functions.command(epilog="Example: hoursight functions resume host")
@data_option
@click.argument("name")
def resume(data: Path, name: str) -> None:
    """Let the suspended function NAME run again at once."""
    from scripts.cli import function_list

    say(function_list.resume(function_list.runner_of(data), name))


@functions.command(hidden=True, deprecated="the command is called resume")
@data_option
@click.argument("name")
@click.pass_context
def revive(context: click.Context, data: Path, name: str) -> None:
    """Do what resume does; this name ends with the next release."""
    context.invoke(resume, data=data, name=name)
