from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from storage.lake.cell_merge import MergedRows, merge_cells
from storage.model.schema import table
from tests.conftest import NOW

METRICS, FACTS = table("metrics"), table("server_facts")
CELLS = ("cpu_user_pct", "mem_used_pct", "load_average")


def sample(server: str, seconds: int = 0, **values: float | str | None) -> dict[str, Any]:
    return {"server": server, "ts": NOW + timedelta(seconds=seconds), **values}


def merged(
    stored: list[dict[str, Any]], *segments: list[dict[str, Any]], target: Any = METRICS
) -> MergedRows:
    numbers = np.repeat(np.arange(len(segments), dtype=np.int32), [len(s) for s in segments])
    rows = pa.Table.from_pylist([row for s in segments for row in s], target.arrow)
    known = pa.Table.from_pylist(stored, target.arrow)
    return merge_cells(
        target, known, rows.append_column("_batch", pa.array(numbers)), len(segments)
    )


def values(result: MergedRows, *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in result.rows.to_pylist()]


def test_an_empty_cell_takes_the_value_of_a_later_row() -> None:
    result = merged([sample("a", cpu_user_pct=11)], [sample("a", mem_used_pct=22)])
    assert values(result, "server", "cpu_user_pct", "mem_used_pct") == [("a", 11, 22)]
    assert result.replaced.to_pylist() == [sample("a")]
    assert (result.outcomes[0].new, result.outcomes[0].repeated) == (1, 0)


def test_a_cell_with_a_value_keeps_it_and_the_other_is_counted_as_repeated() -> None:
    result = merged([sample("a", cpu_user_pct=11)], [sample("a", cpu_user_pct=12)])
    assert result.rows.num_rows == result.replaced.num_rows == 0
    assert (result.outcomes[0].new, result.outcomes[0].repeated) == (0, 1)


def test_rows_of_one_commit_are_merged_without_the_lake() -> None:
    result = merged(
        [],
        [sample("a", load_average=1), sample("a", mem_used_pct=2)],
        [sample("a", swap_used_pct=3)],
    )
    assert values(result, "load_average", "mem_used_pct", "swap_used_pct") == [(1, 2, 3)]
    assert result.replaced.num_rows == 0
    assert [outcome.new for outcome in result.outcomes] == [2, 1]


def test_the_source_of_the_first_row_stays_and_does_not_count_as_a_value() -> None:
    result = merged(
        [sample("a", cpu_user_pct=1, source="one")], [sample("a", load_average=2, source="two")]
    )
    assert values(result, "source", "load_average") == [("one", 2)]
    assert result.outcomes[0].repeated == 0


def test_a_value_that_differs_from_the_one_kept_is_told_by_segment() -> None:
    again = sample("a", cpu_user_pct=11)
    result = merged([again], [again], [sample("a", cpu_user_pct=99.5)])
    assert result.outcomes[0].conflict is None
    conflict = result.outcomes[1].conflict
    assert conflict is not None
    assert "a: 1 value differs" in conflict.sentence()
    assert "cpu_user_pct" in conflict.sentence()
    assert "99.5 after 11" in conflict.sentence()


def test_rows_that_change_nothing_are_left_out() -> None:
    stored = [sample("a", cpu_user_pct=1), sample("b", cpu_user_pct=1)]
    result = merged(stored, [stored[0], stored[1] | {"load_average": 2.0}, sample("c")])
    assert values(result, "server") == [("b",), ("c",)]
    assert result.replaced["server"].to_pylist() == ["b"]


def test_a_table_that_keeps_the_last_row_replaces_values_and_never_by_null() -> None:
    stored = [sample("a", profile="database", site="x")]
    result = merged(stored, [sample("a", site="y")], [sample("a", site="z")], target=FACTS)
    assert values(result, "profile", "site") == [("database", "z")]


ROWS = st.lists(
    st.builds(
        lambda server, second, cells: sample(
            server, second, **dict(zip(CELLS, cells, strict=True))
        ),
        st.sampled_from("ab"),
        st.integers(0, 2),
        st.tuples(*[st.none() | st.integers(0, 9).map(float)] * len(CELLS)),
    ),
    min_size=1,
    max_size=6,
)


@given(st.lists(ROWS, min_size=1, max_size=4))
def test_segments_in_turn_and_all_at_once_give_the_first_value_of_each_cell(
    segments: list[list[dict[str, Any]]],
) -> None:
    expected: dict[tuple[str, Any], dict[str, Any]] = {}
    for row in (row for segment in segments for row in segment):
        known = expected.setdefault((row["server"], row["ts"]), dict.fromkeys(CELLS))
        known.update({name: row[name] for name in CELLS if known[name] is None})
    lake: dict[tuple[str, Any], dict[str, Any]] = {}
    for segment in segments:
        result = merged(list(lake.values()), segment)
        for row in result.rows.to_pylist():
            lake[row["server"], row["ts"]] = row
    at_once = {(r["server"], r["ts"]): r for r in merged([], *segments).rows.to_pylist()}
    for rows in (lake, at_once):
        assert {key: {n: row[n] for n in CELLS} for key, row in rows.items()} == expected
