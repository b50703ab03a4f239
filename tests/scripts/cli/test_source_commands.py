from pathlib import Path

import pytest

from scripts.cli.import_mapping import ImportOptions
from scripts.cli.printer import say
from scripts.cli.source_commands import import_, sources
from tests.scripts.cli.command_calls import CommandCall


def test_without_a_command_the_sources_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    call = CommandCall(monkeypatch, "scripts.cli.source_list.list_sources")
    assert call.run(sources, []).exit_code == 0
    assert call.arguments == (Path("d"),)


@pytest.mark.parametrize("works", [True, False])
def test_a_source_that_does_not_work_is_exit_code_1(
    works: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (file := tmp_path / "shop.toml").touch()
    call = CommandCall(monkeypatch, "scripts.cli.source_list.try_source", works)
    assert call.run(sources, ["test", str(file), "--all"]).exit_code == (not works)
    assert (call.arguments[:2], call.options) == (
        (Path("d"), file), {"once": False, "verbose": False},
    )  # fmt: skip


def test_import_hands_over_how_to_read_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (file := tmp_path / "history.csv").touch()
    call = CommandCall(monkeypatch, "scripts.cli.import_file.import_file")
    call.run(import_, [str(file), "--like", "sadf", "--time-zone", "UTC"])
    assert call.arguments == (Path("d"), file, "sadf", say, ImportOptions(time_zone="UTC"))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    result = CommandCall.run(import_, [str(tmp_path / "gone.csv")])
    assert result.exit_code == 2
    assert "gone.csv" in result.output
