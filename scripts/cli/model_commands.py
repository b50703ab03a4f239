"""Commands on models: train, warmstart, drift, export, models promote, rollback, and backtest."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from scripts.cli.command_audit import note_command
from scripts.cli.group import cli, data_option
from scripts.cli.printer import say


def time_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --time-format and --time-zone to a command that reads history from files."""
    for option in (
        click.option(
            "--time-zone", metavar="ZONE",
            help="The zone of times that do not have their own, such as UTC; else they are "
            "refused.",
        ),
        click.option(
            "--time-format", default="iso", show_default=True, metavar="FORMAT",
            help="Times in the files: iso, epoch_s, epoch_ms, epoch_us, epoch_ns or a strptime "
            "pattern.",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


@cli.command(epilog="Example: hoursight train --files history.parquet --minutes 2")
@data_option
@click.option(
    "--files", multiple=True, type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Parquet or CSV to learn from, instead of the lake; may be given several times.",
)  # fmt: skip
@time_options
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
@click.option("--request", is_flag=True, help="Leave it to the running system's process `trainer`.")
@click.option("--training", hidden=True, help="The id of a training that is due.")
def train(data: Path, resume: bool, request: bool, **options: Any) -> None:
    """Learn from the fleet's own history, and let the result serve when it is better.

    Every fifth server and the newest hours are kept aside; the result serves only when it beats
    the serving model and naive forecasts on the newest ones. Killed, it goes on when called again.
    """
    if request:
        from scripts.cli.drift_report import request_training

        request_training(data, say)
        return
    from scripts.cli.training import TrainingOptions, command

    command(TrainingOptions(data, fresh=not resume, **options), say)


@cli.command("warmstart", epilog="Example: hoursight warmstart")
@data_option
@click.option("--training", hidden=True, help="The id of a warm start that is due.")
def warm_start(data: Path, training: str | None) -> None:
    """Let the loop learn once from the history in the lake, by a replay of it.

    It fills scores, calibration, race and odds, which otherwise take a day; it is written when all
    of it is complete. A running system does it by itself.
    """
    from scripts.cli.warm_start import command

    sys.exit(command(data, training, say))


@cli.command(epilog="Example: hoursight drift")
@data_option
def drift(data: Path) -> None:
    """Show whether forecasts have become worse, and what the next training waits for."""
    from scripts.cli.drift_report import show_drift

    show_drift(data, say)


@cli.command(epilog="Example: hoursight export serving --out /srv/model.onnx")
@data_option
@click.argument("name", default="serving")
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False))
def export(data: Path, name: str, out: Path) -> None:
    """Write the model NAME (or a .pt file) as ONNX with its card, verified against PyTorch."""
    from scripts.cli.training import export_command

    export_command(data, name, out, say)


@cli.group(invoke_without_command=True, epilog="Example: hoursight models rollback")
@data_option
@click.pass_context
def models(context: click.Context, data: Path) -> None:
    """List the models, promote one, or go back to the one before."""
    if context.invoked_subcommand is None:
        from scripts.cli.model_list import show_models

        show_models(data)


@models.command("promote", epilog="Example: hoursight models promote shipped")
@data_option
@click.argument("name")
def promote_model(data: Path, name: str) -> None:
    """Let the model NAME serve, whatever the gate said; 'shipped' is the package's own."""
    from scripts.cli.model_list import promote

    promote(data, name, say)
    note_command(data, "models promote", name)


@models.command("rollback", epilog="Example: hoursight models rollback")
@data_option
def roll_back_model(data: Path) -> None:
    """Let the model serve that did before the present one."""
    from scripts.cli.model_list import roll_back

    roll_back(data, say)
    note_command(data, "models rollback", "the model before")


@cli.command(epilog="Example: hoursight backtest history.parquet --html report.html")
@data_option
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
@time_options
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
@click.option(
    "--loop",
    is_flag=True,
    help="Play the history in order of time through all that serves: scores, calibration, odds, "
    "alerts.",
)
@click.option(
    "--days", type=click.FloatRange(2), default=14.0, show_default=True,
    help="How much of the history --loop plays, the newest.",
)  # fmt: skip
@click.option(
    "--cadence", type=click.Choice([5, 10, 15, 30, 60]), default=5, show_default=True,
    help="Minutes between the runs of --loop; live it is 5.",
)  # fmt: skip
def backtest(**options: Any) -> None:
    """Tell what the forecast would have been worth on the history in FILES, or in the lake.

    FILES are Parquet or CSV with ts, server and any of the 14 metrics, at any cadence. The exit
    code is 1 when the forecast served loses to a naive one (its loss over all metrics is higher
    than that of the value 24 h before, or of the last value), and 2 for bad input.
    """
    from scripts.cli.backtest_command import BacktestOptions, command

    sys.exit(command(BacktestOptions(**options), say))
