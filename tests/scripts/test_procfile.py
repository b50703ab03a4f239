from pathlib import Path

import pytest

from scripts.procfile import PROCFILE, ProcfileError, read_procfile


def test_each_line_is_a_process_in_order(tmp_path: Path) -> None:
    (tmp_path / "Procfile").write_text("# ours\n\nb: exec one: two\n a-1:exec three \n")
    assert list(read_procfile(tmp_path / "Procfile").items()) == [
        ("b", "exec one: two"),
        ("a-1", "exec three"),
    ]


def test_our_own_processes_have_their_names_and_ignore_the_working_directory() -> None:
    commands = read_procfile(PROCFILE)
    assert list(commands) == ["writer", "collector", "engine", "trainer", "web"]
    start = 'exec "${PYTHON:-python}" -P -m '
    assert all(command.startswith(start) for command in commands.values())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("web: exec x\nexec y\n", "Procfile, line 2: 'exec y' is not a process (expected 'NAME:"),
        ("we b: exec x\n", "line 1: 'we b: exec x' is not a process"),
        ("web:\n", "line 1: 'web:' is not a process"),
        ("a: exec x\n\na: exec y\n", "line 3: 'a' is defined twice: rename one"),
        ("# nothing\n", "has no process: add a line such as 'web: exec"),
    ],
)
def test_a_wrong_line_is_told_by_number_with_the_remedy(
    tmp_path: Path, text: str, says: str
) -> None:
    (tmp_path / "Procfile").write_text(text)
    with pytest.raises(ProcfileError) as error:
        read_procfile(tmp_path / "Procfile")
    assert says in str(error.value)


def test_a_missing_procfile_is_told_by_its_path(tmp_path: Path) -> None:
    with pytest.raises(ProcfileError, match="Procfile cannot be read"):
        read_procfile(tmp_path / "Procfile")
