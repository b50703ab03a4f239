"""Commands that run and check the system: demo, up, scenario, doctor."""

import sys
from pathlib import Path

import click

from scripts.cli.group import cli, data_option
from scripts.cli.log_options import log_options, log_to, names_a_level
from scripts.cli.printer import say
from scripts.output_thread import OutputThread


@cli.command(epilog="Example: hoursight demo --port 8090 --scenario degrading")
@data_option
@click.option("--port", type=click.IntRange(1, 65535), help="Where the site listens.")
@click.option("--servers", default=20, show_default=True, help="Size of a new simulated fleet.")
@click.option("--scenario", help="Scenario of the fleet: see 'hoursight scenario --help'.")
@click.option("--mongodb", is_flag=True, help="Read the fleet from a real mongod, with a mapping.")
@log_options
def demo(data: Path, port: int | None, servers: int, scenario: str | None, mongodb: bool) -> None:
    """Run everything on this machine, with a simulated fleet and this host as sources."""
    from scripts.cli import launch

    _check_scenario(scenario)
    quiet, complete = not names_a_level(), True
    with OutputThread(sys.stdout) as output, OutputThread(sys.stderr) as errors:
        log_to("supervisor", "info", errors)
        if mongodb:
            complete = launch.run_mongodb(data, port, servers, output.say, quiet)
        else:
            launch.run(data, port, servers, scenario, output.say, quiet)
    sys.exit(0 if complete else 1)


@cli.command(epilog="Example: hoursight up --data /srv/hoursight")
@data_option
@click.option("--port", type=click.IntRange(1, 65535), help="Where the site listens.")
@log_options
def up(data: Path, port: int | None) -> None:
    """Run the processes of the Procfile; one that ends is restarted alone."""
    from scripts.cli import launch

    with OutputThread(sys.stdout) as output, OutputThread(sys.stderr) as errors:
        log_to("supervisor", "info", errors)
        launch.up(data, port, output.say)


@cli.command(epilog="Example: hoursight scenario cascade")
@data_option
@click.argument("name")
def scenario(data: Path, name: str) -> None:
    """Switch the scenario of the simulated fleet, from now on.

    NAME is healthy, mixed, degrading, critical or cascade.
    """
    from scripts.cli.launch import set_scenario

    _check_scenario(name)
    set_scenario(data, name)
    say(f"The simulator plays '{name}' from now on.")


@cli.command(epilog="Example: hoursight doctor --data /srv/hoursight")
@data_option
@click.option("--fix", is_flag=True, help="Close the data folder to other users of this machine.")
def doctor(data: Path, fix: bool) -> None:
    """Check everything that a forecast needs, and say what to do about what is wrong."""
    from scripts.cli.doctor import close_data_folder, examine

    if fix:
        close_data_folder(data, say)
    sys.exit(0 if examine(data, say) else 1)


def _check_scenario(name: str | None) -> None:
    from functions.simulator.incidents import SCENARIOS

    if name is not None and name not in SCENARIOS:
        raise click.BadParameter(f"{name!r} is not a scenario (expected {', '.join(SCENARIOS)})")
