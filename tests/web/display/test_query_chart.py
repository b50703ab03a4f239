"""Charts of query results."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from web.display.query_chart import HEIGHT, MAX_SERIES, WIDTH, query_chart

NOW = datetime(2026, 5, 6, 12, tzinfo=UTC)
TIMES = [NOW + timedelta(hours=h) for h in (-2, -1, 0, 2)]


def test_each_number_is_a_line_over_the_time() -> None:
    chart = query_chart(pa.table({"a": [1.0, 2, 3, None], "ts": TIMES, "b": [4, 3, 2, 1]}), NOW)
    assert chart is not None
    assert [(s.name, s.last) for s in chart.series] == [("a", 3.0), ("b", 1.0)]
    assert chart.now == WIDTH / 2
    assert chart.series[1].path.startswith(f"M0.0 {0.0}L")
    assert chart.series[1].path.endswith(f"L{WIDTH:.1f} {HEIGHT * 3 / 4:.1f}")
    assert (chart.low, chart.high) == (0, 4)


def test_one_number_and_one_text_are_a_line_for_each_text() -> None:
    names = ["<b>", "x", "<b>", "x"]
    chart = query_chart(pa.table({"ts": TIMES, "server": names, "v": [1, 5, 2, 6]}), NOW)
    assert chart is not None
    assert [(s.name, s.last) for s in chart.series] == [("<b>", 2.0), ("x", 6.0)]


def test_lines_beyond_the_most_are_counted() -> None:
    columns = {f"c{i}": [1, 2, 3, 4] for i in range(MAX_SERIES + 3)}
    chart = query_chart(pa.table({"ts": TIMES, **columns}), NOW)
    assert chart is not None
    assert (len(chart.series), chart.left_out) == (MAX_SERIES, 3)


@pytest.mark.parametrize(
    "rows",
    [
        {"a": [1, 2]}, {"ts": TIMES[:2]}, {"ts": [NOW, NOW], "a": [1, 2]},
        {"ts": TIMES[:2], "a": [None, None]}, {"ts": pa.array([], pa.timestamp("us")), "a": []},
        {"ts": TIMES[:2], "a": [float("nan"), float("inf")]},
    ],
)  # fmt: skip
def test_other_rows_have_no_chart(rows: dict[str, object]) -> None:
    assert query_chart(pa.table(rows), NOW) is None


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.none() | st.integers(-(2**63), 2**63 - 1),
            st.none() | st.floats(width=64, allow_nan=True, allow_infinity=True),
        ),
        max_size=30,
    )
)
def test_any_times_and_numbers_are_drawn_inside_or_not_at_all(
    rows: list[tuple[int | None, float | None]],
) -> None:
    table = pa.table(
        {
            "ts": pa.array([t for t, _ in rows], pa.timestamp("us")),
            "v": pa.array([v for _, v in rows], pa.float64()),
        }
    )
    chart = query_chart(table, NOW)
    if chart is not None:
        assert "nan" not in chart.series[0].path
        assert "inf" not in chart.series[0].path
