import pytest

from scripts.cli.replay_progress import replay_progress


def test_without_a_terminal_each_tenth_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with replay_progress() as on_step:
        for done in range(1, 41):
            on_step(done, 40)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10
    assert lines[4].startswith("replayed 20 of 40 steps in 0 s, ")
