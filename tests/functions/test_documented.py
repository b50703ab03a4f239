"""The examples of docs/functions.md do what they say."""

import re
from datetime import timedelta
from pathlib import Path

import pytest

import hoursight
from functions.engine import run_log, schedule
from functions.engine.function import ARGUMENTS, Declared
from storage.config.settings import FunctionSettings, Settings, write_settings
from tests.conftest import NOW, LakeFixture

TEXT = (Path(__file__).parents[2] / "docs" / "functions.md").read_text()
EXAMPLES = dict(re.findall(r"```python\n# (\w+)\.py\n(.*?)```", TEXT, re.DOTALL))


def put(house: LakeFixture, name: str) -> None:
    house.folders.functions.mkdir(exist_ok=True)
    (house.folders.functions / f"{name}.py").write_text(EXAMPLES[name])


def group(folder: Path, memory: str, limit: str, cpu_s: float) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.current").write_text(memory)
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "cpu.stat").write_text(f"usage_usec {int(cpu_s * 1e6)}\nuser_usec 1\n")


def test_there_are_three_examples() -> None:
    assert set(EXAMPLES) == {"services", "csv_drop", "busy_java"}


def test_each_service_is_a_server(
    house: LakeFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVICE_GROUPS", str(tmp_path / "groups"))
    shared = {"services": FunctionSettings(environment=["SERVICE_GROUPS"])}
    write_settings(house.folders.data, Settings(functions=shared))
    put(house, "services")
    group(tmp_path / "groups" / "web.service", "300", "400", 100)
    group(tmp_path / "groups" / "free.service", "300", "max", 100)
    hoursight.call(house.folders.data, "services", NOW)
    house.commit()
    group(tmp_path / "groups" / "web.service", "200", "400", 105)
    hoursight.call(house.folders.data, "services", NOW + timedelta(seconds=10))
    house.commit(NOW + timedelta(seconds=10))
    result = house.reader.query("SELECT * FROM metrics ORDER BY ts").to_pylist()
    assert [row["mem_used_pct"] for row in result] == [75, 50]
    assert result[0]["cpu_user_pct"] is None
    assert 0 < result[1]["cpu_user_pct"] <= 50
    assert all(row["server"].endswith("-web") for row in result)


def test_csv_files_become_samples(house: LakeFixture) -> None:
    put(house, "csv_drop")
    paths = [house.folders.data / f"{name}.csv" for name in "ab"]
    paths[0].write_text("server,ts,mem_used_pct\na,2026-05-06T12:00:00Z,40\n")
    paths[1].write_text("server,ts,load_average\nb,2026-05-06T12:00:05Z,1.5\n")
    for _ in range(2):  # handed over again
        rows = hoursight.call(house.folders.data, "csv_drop", NOW, files=paths)
        house.commit()
    assert rows["metrics"].num_rows == 2
    assert house.one("SELECT count(*) FROM metrics") == 2
    assert house.one("SELECT load_average FROM metrics WHERE server = 'b'") == 1.5


def test_busy_java_makes_a_web_api_server(house: LakeFixture) -> None:
    put(house, "busy_java")
    house.put("server_facts", [
        {"server": s, "ts": NOW - timedelta(days=2), "profile": p, "site": "x", "cores": 8}
        for s, p in (("thing1", "generic"), ("thing2", "generic"), ("ppdb1", "database"))
    ])  # fmt: skip
    ts = NOW - timedelta(minutes=10)
    busy = [("thing1", 40.0), ("thing2", 1.0), ("ppdb1", 40.0)]
    house.put("metrics_5m", [{"server": s, "ts": ts, "java_cpu_pct_mean": v} for s, v in busy])
    house.commit()
    hoursight.call(house.folders.data, "busy_java", NOW)
    house.commit()
    changed = house.reader.query(
        "SELECT server, profile, site, cores FROM server_facts WHERE ts = $now", now=NOW
    )
    assert changed.to_pylist() == [
        {"server": "thing1", "profile": "web_api", "site": "x", "cores": 8}
    ]


def test_the_numbers_and_names_of_the_text_are_the_programs() -> None:
    defaults = Declared("f", (), (), "", (), "")
    assert f"`deadline` ({defaults.deadline.seconds} s by default)" in TEXT
    assert f"`memory_mb` ({defaults.memory_mb})" in TEXT
    assert (5, timedelta(minutes=10)) == (run_log.SUSPEND_AFTER, run_log.RESUME_AFTER)
    assert schedule.BACK_OFF_S[:3] + schedule.BACK_OFF_S[-1:] == (1, 2, 4, 60)
    arguments = TEXT[TEXT.index("## Arguments and result") : TEXT.index("## Imports")]
    shown = set(re.findall(r"^\| `(\w+)` \|", arguments, re.MULTILINE))
    assert shown == set(ARGUMENTS) - {"settings"}  # for stock sources only
