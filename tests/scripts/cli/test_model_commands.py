from pathlib import Path
from typing import Any

import click
import pytest

from scripts.cli.model_commands import backtest, drift, export, models, train, warm_start
from scripts.cli.printer import say
from tests.scripts.cli.command_calls import CommandCall

D = Path("d")


@pytest.mark.parametrize(
    ("command", "arguments", "target", "handed"),
    [
        (drift, [], "drift_report.show_drift", (D, say)),
        (train, ["--request"], "drift_report.request_training", (D, say)),
        (warm_start, ["--training", "a-history"], "warm_start.command", (D, "a-history", say)),
        (export, ["--out", "m.onnx"], "training.export_command",
         (D, "serving", Path("m.onnx"), say)),
        (models, [], "model_list.show_models", (D,)),
        (models, ["promote", "shipped"], "model_list.promote", (D, "shipped", say)),
        (models, ["rollback"], "model_list.roll_back", (D, say)),
    ],
)  # fmt: skip
def test_each_command_hands_over_what_was_given(
    command: click.Command, arguments: list[str], target: str, handed: tuple[Any, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    call = CommandCall(monkeypatch, f"scripts.cli.{target}", 0)
    assert call.run(command, arguments).exit_code == 0
    assert call.arguments == handed


def test_train_hands_over_its_options(monkeypatch: pytest.MonkeyPatch) -> None:
    call = CommandCall(monkeypatch, "scripts.cli.training.command")
    call.run(train, ["--fresh", "--minutes", "2", "--candidate", "--from", "shipped"])
    options = call.arguments[0]
    given = (options.fresh, options.minutes, options.promote, options.start, options.threads)
    assert given == (True, 2.0, False, "shipped", 1)


@pytest.mark.parametrize("code", [0, 1, 2])
def test_the_outcome_is_the_exit_code(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    back = CommandCall(monkeypatch, "scripts.cli.backtest_command.command", code)
    warm = CommandCall(monkeypatch, "scripts.cli.warm_start.command", code)
    assert back.run(backtest, ["--lake", "--loop", "--days", "7"]).exit_code == code
    assert warm.run(warm_start, []).exit_code == code
    assert (back.arguments[0].days, back.arguments[0].loop) == (7.0, True)


@pytest.mark.parametrize(
    ("command", "arguments", "named"),
    [
        (train, ["--minutes", "0"], "--minutes"),
        (train, ["--files", "gone.csv"], "gone.csv"),
        (backtest, ["--loop", "--cadence", "7"], "--cadence"),
        (export, [], "--out"),
    ],
)
def test_a_wrong_option_is_named(command: click.Command, arguments: list[str], named: str) -> None:
    result = CommandCall.run(command, arguments)
    assert result.exit_code == 2
    assert named in result.output
