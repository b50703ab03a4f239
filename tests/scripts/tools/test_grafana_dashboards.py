"""Grafana's dashboards."""

import json
from pathlib import Path

import pytest
from grafana_foundation_sdk.models.dashboard import Dashboard

from scripts.tools.grafana_dashboards import FOLDER, dashboards


@pytest.mark.parametrize(("name", "text"), dashboards().items())
def test_the_files_are_what_the_tool_writes(name: str, text: str) -> None:
    assert (FOLDER / name).read_text() == text


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.name)
def test_a_dashboard_is_one_that_grafana_knows(path: Path) -> None:
    dashboard = Dashboard.from_json(json.loads(path.read_text()))
    assert dashboard.uid == path.stem
    assert dashboard.time is not None
    assert (dashboard.time.from_val, dashboard.time.to) == ("now-24h", "now+8h")
    assert len(dashboard.panels or []) > 4
