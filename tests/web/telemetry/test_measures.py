"""The declared metrics: names, the document that lists them, and its alert rules."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from web.telemetry.measures import MEASURES

PROMTOOL = shutil.which("promtool")
DOCUMENT = Path(__file__).parents[3] / "docs" / "monitoring.md"


def test_names_are_unique_and_follow_the_conventions_of_prometheus() -> None:
    names = [measure.name for measure in MEASURES]
    assert len(set(names)) == len(names)
    for measure in MEASURES:
        assert re.fullmatch(r"hoursight_[a-z_]+", measure.name)
        assert measure.name.endswith("_total") == (measure.kind == "counter")


def test_each_metric_has_a_help_sentence() -> None:
    assert all(measure.meaning.endswith(".") for measure in MEASURES)


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
def test_the_alerts_of_the_document_are_rules(tmp_path: Path) -> None:
    *_, rules = re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    (tmp_path / "rules.yml").write_text(rules)
    done = subprocess.run(
        [str(PROMTOOL), "check", "rules", str(tmp_path / "rules.yml")], capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "SUCCESS: 10 rules found" in done.stdout, done.stderr
    series = {name for measure in MEASURES for name in measure.series}
    assert set(re.findall(r"\bhoursight_\w+", rules)) <= series


def test_every_metric_is_in_the_document() -> None:
    text = DOCUMENT.read_text()
    rows = re.findall(r"^\| `(hoursight_\w+)(?:\{([\w,]+)\})?` \| (\w+) \|", text, re.MULTILINE)
    assert rows == [(m.name, ",".join(m.labels), m.kind) for m in MEASURES]
