from pathlib import Path

from functions.alert_rules import alert_rules
from functions.engine.window import Window
from storage.config.folders import Folders
from storage.query.memory_lake import MemoryLake
from tests.conftest import NOW

MINE = """
[[rule]]
name = "disks"
metrics = ["disk_usage_pct"]

[[maintenance]]
name = "patch"
zone = "Europe/Berlin"
starts = "2026-01-03 22:00"
duration = "1h"
"""


def test_rules_windows_and_refusals_are_answered_and_nothing_is_written(tmp_path: Path) -> None:
    folders = Folders.at(tmp_path).create()
    folders.alerts.mkdir(exist_ok=True)
    (folders.alerts / "mine.toml").write_text(MINE)
    (folders.alerts / "torn.toml").write_text("[[rule]")
    lake = MemoryLake(folders)
    batch = alert_rules.call(window=Window(lake.reader, NOW))
    lake.close()
    assert [rule["name"] for rule in batch.answer["rules"]] == ["breach", "disks", "no data"]
    assert [each["name"] for each in batch.answer["maintenance"]] == ["patch"]
    assert batch.answer["ladders"] == []
    (refusal,) = batch.answer["refusals"]
    assert refusal.startswith("alerts/torn.toml: file: ")
    assert batch.rows == {}
    assert {path.name for path in folders.alerts.iterdir()} == {"mine.toml", "torn.toml"}
