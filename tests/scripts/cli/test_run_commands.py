from pathlib import Path

import pytest

from scripts.cli.printer import say
from scripts.cli.run_commands import demo, doctor, scenario, up
from tests.scripts.cli.command_calls import CommandCall


@pytest.fixture(autouse=True)
def no_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log of this process stays as it is."""
    monkeypatch.setattr("scripts.cli.run_commands.log_to", lambda *_: None)


def test_up_and_demo_hand_over_folder_and_port(monkeypatch: pytest.MonkeyPatch) -> None:
    started = CommandCall(monkeypatch, "scripts.cli.launch.up")
    shown = CommandCall(monkeypatch, "scripts.cli.launch.run")
    assert started.run(up, ["--port", "8090"]).exit_code == 0
    assert shown.run(demo, ["--servers", "5", "--scenario", "critical"]).exit_code == 0
    assert started.arguments[:2] == (Path("d"), 8090)
    assert shown.arguments[:4] == (Path("d"), None, 5, "critical")


@pytest.mark.parametrize("complete", [True, False])
def test_a_demo_that_lost_samples_is_exit_code_1(
    complete: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = CommandCall(monkeypatch, "scripts.cli.launch.run_mongodb", complete)
    assert call.run(demo, ["--mongodb"]).exit_code == (not complete)


def test_a_scenario_that_is_not_known_is_refused_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    call = CommandCall(monkeypatch, "scripts.cli.launch.set_scenario")
    result = call.run(scenario, ["sunny"])
    assert (result.exit_code, call.arguments) == (2, ())
    assert "'sunny' is not a scenario (expected healthy" in result.output
    assert call.run(scenario, ["cascade"]).exit_code == 0
    assert call.arguments == (Path("d"), "cascade")


@pytest.mark.parametrize("healthy", [True, False])
def test_what_doctor_finds_is_the_exit_code(healthy: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    examined = CommandCall(monkeypatch, "scripts.cli.doctor.examine", healthy)
    closed = CommandCall(monkeypatch, "scripts.cli.doctor.close_data_folder")
    assert examined.run(doctor, []).exit_code == (not healthy)
    assert not any(closed.arguments)
    closed.run(doctor, ["--fix"])
    assert closed.arguments == (Path("d"), say)
