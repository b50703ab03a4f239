from click.testing import CliRunner

from scripts.cli import cli


def test_the_command_says_what_it_is_for() -> None:
    said = CliRunner().invoke(cli, ["report", "--help"]).output
    assert "--month" in said
    assert "Example: hoursight report --month 2026-10 --html october.html" in said
