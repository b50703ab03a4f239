"""Pictures of trust: bins of odds, and lines over time."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from web.display.trust_svg import SIZE, reliability_dots, series_line

NOW = datetime(2026, 5, 6, tzinfo=UTC)


def at(hours: float) -> datetime:
    return NOW + timedelta(hours=hours)


def test_a_bin_that_keeps_its_word_lies_on_the_diagonal() -> None:
    row = {
        "said": [0.1, 0.5], "came": [0.1, 0.9], "came_low": [0.0, 0.7], "came_high": [0.2, 1.0],
        "bin_blocks": [100.0, 4.0],
    }  # fmt: skip
    first, second = reliability_dots(row)
    assert first.x == SIZE - first.y
    assert second.low > second.y > second.high == 0
    assert first.radius > second.radius
    assert second.title == "said 50 %, came 90 % (70–100), 4 cases"


def test_a_fit_without_bins_has_no_dots() -> None:
    columns = ("said", "came", "came_low", "came_high", "bin_blocks")
    assert reliability_dots(dict.fromkeys(columns)) == []


def test_a_line_leaves_out_what_is_not_known_and_needs_two_points() -> None:
    line = series_line([(at(0), 1.0), (at(1), None), (at(2), 1.1)], 1.05, 0.2)
    assert line is not None
    assert line.path.count("L") == 1
    assert (line.first, line.last) == (at(0), at(2))
    assert series_line([(at(0), 1.0)], 1.05, 0.2) is None


@given(st.lists(st.floats(0, 10), min_size=2, max_size=30), st.floats(0, 10))
def test_a_line_stays_in_its_picture(values: list[float], limit: float) -> None:
    line = series_line([(at(i), value) for i, value in enumerate(values)], limit, 0.1)
    assert line is not None
    rows = [float(point.split()[1]) for point in line.path[1:].split("L")]
    assert all(-0.1 <= row <= line.height + 0.1 for row in [*rows, line.limit])
