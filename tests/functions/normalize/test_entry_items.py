"""Items of servers: which one a record is of, and which do not count."""

from functions.normalize.columns import columns_of
from functions.normalize.devices import STOCK_RULES
from functions.normalize.entry_items import excluded, items_of, joined_items, without_elements
from functions.normalize.mapping import Field

RECORDS = [
    {"link": "eth0", "v": [1, 2, 3], "n": ["eth0", "lo", "eth1"]},
    {"path": "/", "v": 7, "n": None},
    {"link": 4, "v": None, "n": ["lo"]},
]


def test_the_item_is_the_text_of_a_field() -> None:
    columns = columns_of(RECORDS)
    assert items_of(columns, "link", 3) == ["eth0", None, "4"]
    assert items_of(columns, None, 3) == items_of(columns, "gone", 3) == [None] * 3


def test_items_of_several_fields_tell_apart_what_differs_in_any() -> None:
    columns = columns_of(RECORDS)
    assert len(set(joined_items(columns, ("link", "path"), 3))) == 3
    assert joined_items(columns, ("link",), 3) == ["eth0", None, "4"]
    assert joined_items(columns, ("gone",), 3) == [None] * 3


def test_items_are_excluded_by_patterns() -> None:
    assert excluded(["lo", "eth0", None, "veth1"], ["lo", "veth*"]).tolist() == [
        True, False, False, True,
    ]  # fmt: skip


def test_elements_of_lists_are_left_out_by_the_name_beside_them() -> None:
    columns = columns_of(RECORDS)
    entry = Field(field="v", take="sum", each="n", except_=("lo",))
    shown = without_elements(columns, columns.get("v"), entry, STOCK_RULES)
    assert shown == [[1, 3], 7, None]


def test_elements_that_are_links_on_other_links_do_not_count() -> None:
    columns = columns_of([{"v": [1, 2, 3, 4], "n": ["eth0", "bond0", "lo", "eth0.7"]}])
    entry = Field(field="v", take="sum", each="n", real="links")
    assert without_elements(columns, columns.get("v"), entry, STOCK_RULES) == [[1]]
