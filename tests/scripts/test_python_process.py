import os
import subprocess
from pathlib import Path

import pytest

from scripts.python_process import PACKAGES, module_command, module_environment


def test_a_module_of_ours_runs_where_one_of_its_name_stands(tmp_path: Path) -> None:
    (tmp_path / "storage.py").write_text("raise SystemExit('the wrong module')")
    done = subprocess.run(
        module_command("storage", "--help"), env=module_environment(), cwd=tmp_path,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Commit segments to the lake" in done.stdout


def test_our_packages_come_before_those_on_the_users_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/theirs")
    assert module_environment()["PYTHONPATH"] == f"{PACKAGES}{os.pathsep}/theirs"
    monkeypatch.delenv("PYTHONPATH")
    assert module_environment()["PYTHONPATH"] == str(PACKAGES)


def test_arguments_may_be_paths() -> None:
    assert module_command("web", "--data", Path("var"))[1:] == ["-P", "-m", "web", "--data", "var"]
