from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from scripts.cli.group import data_option, unused_data_option


@click.group()
@unused_data_option
def outer() -> None:
    pass


@outer.command()
@data_option
def inner(data: Path) -> None:
    click.echo(data)


@pytest.mark.parametrize(
    ("arguments", "data"),
    [
        (["inner", "--data", "a"], "a"),
        (["--data", "b", "inner"], "b"),
        (["--data", "b", "inner", "--data", "a"], "a"),
        (["inner"], "var"),
    ],
)
def test_the_nearest_data_option_counts(
    arguments: list[str], data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOURSIGHT_DATA", raising=False)
    assert CliRunner().invoke(outer, arguments).output == f"{data}\n"


def test_the_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOURSIGHT_DATA", "elsewhere")
    assert CliRunner().invoke(outer, ["inner"]).output == "elsewhere\n"


def test_a_file_is_not_a_data_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = CliRunner().invoke(outer, ["inner", "--data", str(tmp_path / "file")])
    assert done.exit_code == 2
    assert "is a file" in done.output
