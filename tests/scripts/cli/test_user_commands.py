"""Commands on users."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from scripts.cli import cli
from storage.config.folders import Folders
from storage.config.users import Users

GOOD = "four words of mine"


@pytest.fixture
def run(tmp_path: Path):
    def run(*arguments: str, typed: str = GOOD) -> Result:
        command = ["users", *arguments, "--data", str(tmp_path)]
        return CliRunner().invoke(cli, command, input=f"{typed}\n")

    return run


def test_a_user_is_added_listed_changed_and_removed(run, tmp_path: Path) -> None:
    assert run("add", "ann", "--role", "operator").stdout == "ann may log in as operator.\n"
    assert run("list").stdout.startswith("ann                  operator   added 20")
    assert run("passwd", "ann", typed="another long one").exit_code == 0
    users = Users(Folders.at(tmp_path))
    assert users.verified("ann", GOOD) is None
    assert users.verified("ann", "another long one") is not None
    removed = run("remove", "ann")
    assert removed.stdout.startswith("The user 'ann' (operator) is removed")
    assert "No user is left: the site stays closed" in removed.stderr


def test_a_password_that_is_too_short_adds_nobody(run, tmp_path: Path) -> None:
    refused = run("add", "ann", "--role", "viewer", typed="short")
    assert refused.exit_code != 0
    assert "the password has 5 characters, expected 10 to 200" in str(refused.exception)
    assert not Folders.at(tmp_path).users.exists()


def test_a_role_that_does_not_exist_is_refused_with_those_that_do(run) -> None:
    refused = run("add", "ann", "--role", "boss")
    assert refused.exit_code == 2
    assert "'viewer', 'operator', 'admin'" in refused.stderr
