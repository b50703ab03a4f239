import json
from pathlib import Path

import pytest

from scripts.tools.bench.measure import Figure, interleaved, quantile, show, stopwatch, write_json


@pytest.mark.parametrize(
    ("figure", "met"),
    [
        (Figure("below a bound", 4.9, "ms", 5), True),
        (Figure("above a bound", 5.1, "ms", 5), False),
        (Figure("enough", 60, "docs/s", 60, at_least=True), True),
        (Figure("too few", 59, "docs/s", 60, at_least=True), False),
        (Figure("ratio below", 11, "ms", 1.2, "peer", 10, "ratio"), True),
        (Figure("ratio above", 13, "ms", 1.2, "peer", 10, "ratio"), False),
        (Figure("ratio without a peer", 1, "ms", 1.2, bounded="ratio"), False),
    ],
    ids=lambda value: value.name if isinstance(value, Figure) else "",
)
def test_a_goal_bounds_the_value_or_the_ratio_from_above_or_below(
    figure: Figure, met: bool
) -> None:
    assert figure.met is met


def test_two_functions_are_timed_in_turn() -> None:
    calls: list[str] = []
    ours, peers = interleaved(lambda: calls.append("ours"), lambda: calls.append("peer"), 3)
    assert calls == ["ours", "peer"] * 3
    assert (len(ours), len(peers)) == (3, 3)


def test_a_quantile_is_a_value_of_the_sample() -> None:
    values = [float(n) for n in range(100, 0, -1)]
    assert (quantile(values, 0.5), quantile(values, 0.95), quantile(values, 1)) == (51, 96, 100)


def test_a_stopwatch_goes_on_while_it_is_read() -> None:
    with stopwatch() as elapsed:
        first = elapsed()
        assert elapsed() >= first >= 0


def test_the_table_marks_what_missed_its_goal(capsys: pytest.CaptureFixture[str]) -> None:
    show([Figure("fast", 1, "ms", 2), Figure("slow", 3, "ms", 2, "peer", 1, "ratio")])
    lines = capsys.readouterr().out.splitlines()
    assert "reached" in lines[1]
    assert "≤ 2 ms" in lines[1]
    assert "MISSED" in lines[2]
    assert "3.00 ×" in lines[2]
    assert lines[3] == "2 figures, 1 missed their goal"


def test_the_json_has_what_is_computed_too(tmp_path: Path) -> None:
    write_json([Figure("a", 3, "ms", 2, "peer", 1, "ratio")], tmp_path / "f.json", {"cores": 2})
    written = json.loads((tmp_path / "f.json").read_text())
    assert written["about"] == {"cores": 2}
    assert (written["figures"][0]["ratio"], written["figures"][0]["met"]) == (3.0, False)
