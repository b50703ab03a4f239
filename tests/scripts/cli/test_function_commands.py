from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from scripts.cli.function_commands import call_command, functions
from tests.scripts.cli.command_calls import CommandCall

D = Path("d")


@pytest.mark.parametrize("works", [True, False])
def test_call_hands_over_time_body_and_files_and_tells_whether_it_worked(
    works: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = CommandCall(monkeypatch, "scripts.cli.call.call_function", works)
    arguments = ["host", "--now", "2026-05-06T12:00:00Z", "--body", "{}", "--dry-run"]
    assert call.run(call_command, arguments).exit_code == (not works)
    assert call.arguments[:3] == (D, "host", datetime(2026, 5, 6, 12))  # noqa: DTZ001 - as click has it
    given = {"once": True, "body": "{}", "files": (), "verbose": False, "dry_run": True}
    assert call.options == given


@pytest.mark.parametrize(
    ("arguments", "target", "handed"),
    [
        ([], "show_functions", ("runner",)),
        (["list"], "show_functions", ("runner",)),
        (["runs", "forecast", "--last", "5"], "show_runs", (D, "forecast", 5)),
        (["why", "host"], "why", ("runner", "host")),
        (["new", "nas"], "make_new", ("runner", "nas")),
        (["resume", "host"], "resume", ("runner", "host")),
        (["revive", "host"], "resume", ("runner", "host")),
    ],
)
def test_each_command_hands_over_what_was_given(
    arguments: list[str], target: str, handed: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scripts.cli.function_list.runner_of", lambda _: "runner")
    call = CommandCall(monkeypatch, f"scripts.cli.function_list.{target}", "")
    assert call.run(functions, arguments).exit_code == 0
    assert call.arguments == handed
