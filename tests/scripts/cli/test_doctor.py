import fcntl
import os
from datetime import timedelta
from pathlib import Path

import pytest

from scripts.cli.doctor import close_data_folder, examine, findings
from scripts.cli.finding import Finding
from storage.config.settings import (
    DataSettings,
    HostSettings,
    Settings,
    SourceSettings,
    write_settings,
)
from storage.platform.private_files import open_lock
from tests.conftest import NOW, LakeFixture


def first(data: Path, subject: str) -> Finding:
    """The first finding about a subject; later checks are not run."""
    return next(finding for finding in findings(data, NOW) if finding.about == subject)


def by_subject(data: Path, now=NOW) -> dict[str, Finding]:
    return {finding.about: finding for finding in findings(data, now)}


def test_without_a_lake_the_checks_end_with_the_remedy(tmp_path: Path) -> None:
    checks = by_subject(tmp_path)
    assert list(checks) == ["settings", "access", "disk", "model", "lake"]
    assert "hoursight demo" in checks["lake"].remedy
    assert checks["model"].well


def test_a_wrong_setting_names_file_and_key(tmp_path: Path) -> None:
    (tmp_path / "hoursight.toml").write_text("[web]\nport = 'x'\n")
    check = by_subject(tmp_path)["settings"]
    assert "web.port is 'x'" in check.text
    assert check.remedy == "correct it, or remove the file for the defaults"


def test_sources_that_are_on_are_listed(tmp_path: Path) -> None:
    assert by_subject(tmp_path)["settings"].text == "sources: host"
    write_settings(tmp_path, Settings(sources=SourceSettings(host=HostSettings(False))))
    assert by_subject(tmp_path)["settings"].text == "sources: none"


def test_samples_are_late_after_a_minute(house: LakeFixture) -> None:
    house.put("metrics", [{"server": "web1", "ts": NOW, "load_average": 1.0}])
    house.commit()
    data = house.folders.data
    fresh = by_subject(data, NOW + timedelta(seconds=59))["samples"]
    late = by_subject(data, NOW + timedelta(seconds=61))["samples"]
    assert (fresh.well, fresh.text) == (True, "1 servers, newest sample 59 s old")
    assert "is the collector running" in late.remedy


def test_the_newest_failure_of_a_function_leads_to_why(house: LakeFixture) -> None:
    always = {"function": "mine", "trigger": "test", "code_hash": "c"}
    house.put("runs", [
        always | {"run_id": "1", "ts": NOW - timedelta(minutes=2), "outcome": "ok"},
        always | {"run_id": "2", "ts": NOW, "outcome": "failed", "error": "KeyError: 'x'"},
    ])  # fmt: skip
    house.commit()
    check = by_subject(house.folders.data)["function mine"]
    assert check.text == "failed: KeyError: 'x'"
    assert check.remedy == "see 'hoursight functions why mine'"


def test_all_is_well_only_when_each_finding_is(house: LakeFixture) -> None:
    lines: list[str] = []
    assert examine(house.folders.data, lines.append) is False
    assert any(line.startswith("BAD  samples: none yet") for line in lines)
    assert any(line.startswith("ok   model: ") for line in lines)


def test_what_the_disk_has_too_much_of_comes_with_its_remedy(house: LakeFixture) -> None:
    left = house.folders.lake / "left.parquet"
    left.write_bytes(bytes(1234))
    os.utime(left, (0, 0))
    found = [f for f in findings(house.folders.data, NOW) if f.about == "disk use"]
    assert "orphaned files 1.2 kB" in found[0].text
    assert (found[1].well, found[1].text[:24]) == (False, "orphaned files: 1 files,")


def test_samples_from_the_future_are_said_and_are_not_the_newest(house: LakeFixture) -> None:
    ahead = NOW + timedelta(hours=2)
    house.put("metrics", [{"server": "web1", "ts": ahead, "load_average": 1.0}], created_at=ahead)
    house.commit(ahead)
    house.put("metrics", [{"server": "web1", "ts": NOW, "load_average": 1.0}])
    house.commit(NOW)
    checks = by_subject(house.folders.data, NOW + timedelta(seconds=70))
    assert checks["clock"].text.startswith("samples of 1 servers from the future, up to 2026-05-06")
    assert not checks["samples"].well
    assert "clock" not in by_subject(house.folders.data, ahead)


def test_an_open_data_folder_is_reported_and_closed_by_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "catalog.sqlite").touch()
    for path in (tmp_path, tmp_path / "catalog.sqlite"):
        path.chmod(0o777)
    check = first(tmp_path, "access")
    assert check.text == f"other users of this machine can reach {tmp_path} (mode 777)"
    assert check.remedy == f"run 'hoursight doctor --fix --data {tmp_path}'"
    close_data_folder(tmp_path, print)
    assert first(tmp_path, "access") == Finding("access", f"only this user can reach {tmp_path}")
    assert (tmp_path / "catalog.sqlite").stat().st_mode & 0o777 == 0o700


def test_a_group_that_is_to_read_the_lake_is_let_in_by_the_remedy(tmp_path: Path) -> None:
    write_settings(tmp_path, Settings(data=DataSettings(group_readable=True)))
    check = first(tmp_path, "access")
    assert check.text == f"data.group_readable is true, and its group cannot read {tmp_path}"
    close_data_folder(tmp_path, print)
    assert first(tmp_path, "access").text == f"this user and its group can read {tmp_path}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_lock_that_another_user_took_while_the_folder_was_open_is_released(
    tmp_path: Path,
) -> None:
    ready, ends = os.pipe(), os.pipe()
    with open_lock(tmp_path / "merge.gate") as gate:
        if (child := os.fork()) == 0:
            os.setresuid(65534, 65534, 65534)
            fcntl.flock(gate, fcntl.LOCK_EX)
            os.write(ready[1], b".")
            os.read(ends[0], 1)
            os._exit(0)
    os.read(ready[0], 1)
    check = first(tmp_path, "locks")
    assert check.text.startswith(f"process {child} of user 65534 holds {tmp_path}/merge.gate")
    lines: list[str] = []
    close_data_folder(tmp_path, lines.append)
    assert lines == [f"merge.gate was locked by process {child} of user 65534: restart hoursight"]
    with open_lock(tmp_path / "merge.gate") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.write(ends[1], b".")
    os.waitpid(child, 0)


def test_a_data_folder_that_is_a_link_to_itself_is_reported(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    checks = by_subject(tmp_path / "loop")
    assert not checks["settings"].well
