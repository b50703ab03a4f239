"""What stands beside the editor; the examples run in tests/web/pages/test_sql_page.py."""

from storage.model.schema import STOCK
from storage.model.views import VIEWS
from web.display.schema_browser import EXAMPLES, relations


def test_views_come_before_tables_and_each_column_has_a_meaning() -> None:
    listed = relations(STOCK)
    assert [r.kind for r in listed] == ["view"] * len(VIEWS) + ["table"] * len(STOCK.tables)
    assert all(meaning and kind for r in listed for _, kind, meaning in r.columns)


def test_an_example_links_to_itself() -> None:
    assert EXAMPLES[0].link.startswith("/sql?q=SELECT+server%2C")
