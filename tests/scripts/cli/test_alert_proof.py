from pathlib import Path

import pytest

from tests.scripts.cli.two_servers import run


@pytest.mark.parametrize(
    ("command", "text"),
    [("try", "[[rule]]\nname = 'x'\nodds = {'2h' = 7}\n"), ("import", "groups: 5\n")],
)
def test_a_file_that_cannot_be_used_is_named_with_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, text: str
) -> None:
    file = tmp_path / "rules.file"
    file.write_text(text)
    assert run("alerts", command, str(file), "--days", "2", "--data", str(tmp_path / "none")) == 2
    assert "rules.file: " in capsys.readouterr().err


def test_a_time_shorter_than_a_day_is_refused(tmp_path: Path, capsys) -> None:
    file = tmp_path / "rules.yml"
    file.write_text("groups: []")
    assert run("alerts", "import", str(file), "--days", "0.5") == 2
    assert "--days" in capsys.readouterr().err
