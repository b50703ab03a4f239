from pathlib import Path
from typing import Any

import click
import pytest

from scripts.cli.lake_commands import backup, delete, rebuild, verify
from scripts.cli.printer import say
from tests.scripts.cli.command_calls import CommandCall

D = Path("d")


@pytest.mark.parametrize(
    ("command", "arguments", "target", "handed"),
    [
        (backup, ["b.tar"], "backup_restore.take_backup", (D, Path("b.tar"), say)),
        (rebuild, ["--files-only"], "catalog_rebuild.rebuild_catalog", (D, None, True, False, say)),
        (verify, ["--adopt"], "verification.verify_lake", (D, True, say)),
    ],
)
def test_each_command_hands_over_what_was_given(
    command: click.Command, arguments: list[str], target: str, handed: tuple[Any, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    call = CommandCall(monkeypatch, f"scripts.cli.{target}", True)
    assert call.run(command, arguments).exit_code == 0
    assert call.arguments == handed


def test_a_damaged_lake_is_exit_code_1_and_is_recovered_only_on_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    verified = CommandCall(monkeypatch, "scripts.cli.verification.verify_lake", False)
    recovered = CommandCall(monkeypatch, "scripts.cli.verification.recover_files")
    assert verified.run(verify, []).exit_code == 1
    assert not any(recovered.arguments)
    verified.run(verify, ["--recover"])
    assert recovered.arguments == (D, None, say)


@pytest.mark.parametrize(("answer", "deleted"), [("y", True), ("n", False)])
def test_a_server_is_deleted_after_a_confirmation_only(
    answer: str, deleted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = CommandCall(monkeypatch, "scripts.cli.server_deletion.delete_server")
    CommandCall(monkeypatch, "scripts.cli.server_deletion.question", "Delete 7 rows of db-7?")
    runner = click.testing.CliRunner()
    result = runner.invoke(delete, ["db-7", "--data", "d"], input=answer)
    assert "Delete 7 rows of db-7?" in result.output
    assert bool(call.arguments) is deleted


def test_with_yes_the_rows_are_counted_so_that_an_unknown_server_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted = CommandCall(monkeypatch, "scripts.cli.server_deletion.count_rows", 7)
    call = CommandCall(monkeypatch, "scripts.cli.server_deletion.delete_server")
    call.run(delete, ["db-7", "--yes", "--why", "its owner asked"])
    assert counted.arguments == (D, "db-7")
    assert call.arguments == (D, "db-7", "its owner asked", say)
