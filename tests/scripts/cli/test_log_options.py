import click
import pytest
from click.testing import CliRunner

from scripts.cli.log_options import log_options, names_a_level


@click.group()
@log_options
def outer() -> None:
    pass


@outer.command()
@log_options
def inner() -> None:
    meta = click.get_current_context().meta
    click.echo(f"{meta.get('hoursight.log_level')} {meta.get('hoursight.log_format')}")
    click.echo(names_a_level())


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        ([], "None None\nFalse\n"),
        (["--log-level", "debug"], "debug None\nTrue\n"),
        (["--log-format", "json"], "None json\nFalse\n"),
    ],
)
def test_options_hold_before_and_after_a_command(arguments: list[str], printed: str) -> None:
    assert CliRunner().invoke(outer, [*arguments, "inner"]).output == printed
    assert CliRunner().invoke(outer, ["inner", *arguments]).output == printed


def test_the_option_of_the_command_wins() -> None:
    done = CliRunner().invoke(outer, ["--log-level", "debug", "inner", "--log-level", "error"])
    assert done.output.startswith("error ")


@pytest.mark.parametrize(
    ("option", "says"),
    [("--log-level", "'loud' is not a log level"), ("--log-format", "'loud' is not a log format")],
)
def test_a_wrong_value_is_a_usage_error(option: str, says: str) -> None:
    done = CliRunner().invoke(outer, [option, "loud", "inner"])
    assert done.exit_code == 2
    assert says in done.output


def test_the_environment_counts_as_an_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOURSIGHT_LOG_LEVEL", "warning")
    assert CliRunner().invoke(outer, ["inner"]).output == "warning None\nTrue\n"
