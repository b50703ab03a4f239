import pytest

from storage.model.views import VIEWS, View
from tests.conftest import LakeFixture


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_a_view_has_the_columns_that_are_told_of_it(house: LakeFixture, view: View) -> None:
    shown = house.reader.query(f"FROM {view.name} LIMIT 0").schema
    assert [(f.name, f.type) for f in shown] == [(c.name, c.type) for c in view.columns]


def test_every_view_of_the_lake_is_told(house: LakeFixture) -> None:
    held = house.reader.query("SELECT view_name FROM duckdb_views() WHERE database_name = 'lake'")
    assert set(held["view_name"].to_pylist()) == {view.name for view in VIEWS}
    assert all(column.meaning for view in VIEWS for column in view.columns)
