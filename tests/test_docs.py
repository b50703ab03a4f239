"""What the documents say is true: commands, settings, files."""

import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from functions.engine.forecaster import SHIPPED, Forecaster
from scripts.cli import cli
from storage.config.settings import Settings
from storage.model.metrics import METRIC_NAMES
from tests.conftest import LakeFixture

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_every_command_of_the_readme_exists_and_none_is_left_out() -> None:
    named = set(re.findall(r"^\| `hoursight (\w+)", README, re.MULTILINE))
    assert named == set(cli.commands)


def test_the_settings_shown_are_the_defaults() -> None:
    shown = re.search(r"```toml\n(.*?)```", README, re.DOTALL)
    assert shown is not None
    assert tomllib.loads(shown[1]) == msgspec.to_builtins(Settings())


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#]+)\)", README))
def test_every_file_that_the_readme_points_to_is_there(target: str) -> None:
    assert (ROOT / target).exists()


@pytest.mark.parametrize("statement", re.findall(r'hoursight sql "(select [^"]+)"', README))
def test_every_query_of_the_readme_runs(house: LakeFixture, statement: str) -> None:
    house.reader.query(statement)


def test_every_file_of_the_architecture_page_is_there() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    files = set(re.findall(r"`([a-z_/]+\.(?:py|sql))`", text))
    assert len(files) > 20
    assert {file for file in files if not (ROOT / file).exists()} == set()


def test_the_layers_shown_are_those_that_import_linter_checks() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    for contract in linter["contracts"]:
        prefix = "" if "containers" in contract else r"\w+\."
        layers = [
            ", ".join(re.sub(f"^{prefix}", "", room.strip(" ()")) for room in layer.split("|"))
            for layer in contract.get("layers", [])
        ]
        of_a_room = all("." not in container for container in contract.get("containers", []))
        assert not of_a_room or " → ".join(layers) in text, contract["name"]


def test_no_sentence_names_a_path_of_a_machine() -> None:
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        assert not re.search(r"/(home|root|work)/", path.read_text()), path.name


def test_the_scores_shown_are_those_in_the_card_of_the_shipped_model() -> None:
    shown = (ROOT / "docs" / "accuracy.md").read_text()
    for name, parts in Forecaster.open(SHIPPED).card["scores"].items():
        for row in [parts["model"]] if "model" in parts else parts.values():
            reported = " | ".join(f"{score:.3f}".removeprefix("0") for score in row)
            assert f"| {reported} |" in shown, name


def test_the_model_answers_from_python_as_the_example_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOURSIGHT_DATA", str(tmp_path))
    text = (ROOT / "docs" / "backtest.md").read_text()
    example = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert example is not None
    result: dict[str, Any] = {}
    exec(example[1], result)  # noqa: S102 - the page's own example
    forecast = result["forecast"]
    assert forecast.quantiles.shape == (1, 96, 14, 7)
    assert METRIC_NAMES.index("mem_used_pct") == 5
    assert forecast.state[0].tolist() == ["abstained"] * 5 + ["early"] + ["abstained"] * 8
    assert 50 < result["median_in_8_hours"] < 70


def test_the_options_shown_are_those_of_the_backtest() -> None:
    options = {o for p in cli.commands["backtest"].params for o in p.opts}
    text = (ROOT / "docs" / "backtest.md").read_text()
    assert set(re.findall(r"--[a-z][a-z-]*", text)) <= options


def test_the_race_was_run_with_the_model_that_ships() -> None:
    shown = (ROOT / "docs" / "accuracy.md").read_text()
    assert f"Of model `{Forecaster.open(SHIPPED).hash}`" in shown
