"""Cells of query results."""

import pyarrow as pa

from web.display.query_table import MAX_CELL, query_table


def test_numbers_nulls_and_long_texts_are_marked() -> None:
    table = query_table(pa.table({"a": [1.25, None], "b": ["x" * 1000, "y"]}), 10)
    assert table.columns == (("a", "num"), ("b", ""))
    assert [cell.kind for cell in table.rows[0]] == ["num", "cut"]
    assert len(table.rows[0][1].text) == MAX_CELL + 1
    assert (table.rows[1][0].text, table.rows[1][0].kind) == ("NULL", "none")


def test_only_the_first_rows_are_cells_and_all_are_counted() -> None:
    table = query_table(pa.table({"a": list(range(100))}), 7)
    assert (len(table.rows), table.total) == (7, 100)


def test_a_plan_is_text() -> None:
    rows = pa.table({"explain_key": ["physical_plan"], "explain_value": ["a\nb"]})
    assert query_table(rows, 7).plan == "a\nb"
